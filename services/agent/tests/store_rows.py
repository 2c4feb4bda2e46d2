"""What a file holds of its runs, table by table."""

import apsw

from milepost_agent.store import Store

TABLES = ("runs", "journal", "ledger", "messages", "checkpoints", "writes", "checkpoint_order", "requests", "removals")


async def rows(store: Store, run_id: str) -> dict[str, int]:
    """How many rows each table holds of a run; tables without any are left out."""

    def count(connection: apsw.Connection) -> dict[str, int]:
        found = {}
        for table in TABLES:
            column = "thread_id" if table in ("checkpoints", "writes", "checkpoint_order") else "run_id"
            found[table] = int(connection.execute(f"SELECT COUNT(*) FROM {table} WHERE {column} = ?", (run_id,)).get)
        return {table: count for table, count in found.items() if count}

    return await store._readers.read(count)


LANGGRAPH = {"checkpoints": 1, "writes": 1, "checkpoint_order": 1}
WHOLE = {"runs": 1, "journal": 6, "ledger": 1, "messages": 1, **LANGGRAPH, "requests": 1}
"""What `fill` stores of a run."""


async def left(store: Store) -> list[str]:
    return [run.run_id for run in reversed(await store.list_runs(limit=10_000))]
