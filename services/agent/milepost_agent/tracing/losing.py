"""What was open when the process before ended: written down when its runs go on, before anything else happens."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

from milepost_agent.store import ACCEPTED, RunRecord, Store
from milepost_agent.tracing.epochs import STARTED, Epochs
from milepost_agent.tracing.projection import project
from milepost_service.json_form import iso_time


def was_driven(record: RunRecord) -> bool:
    """Whether the clock of the run was going when its process ended, so that one of its nodes may have begun."""
    return record.state != ACCEPTED and record.idle_since is None


async def lost_spans(
    store: Store, records: Sequence[RunRecord], *, driven: Collection[str], in_order: bool
) -> dict[str, list[dict[str, Any]]]:
    """By run id, the data of `RunResumed` that says which spans are lost; empty lists for runs that lost none.

    Args:
        store: With a new epoch.
        records: Runs that are about to go on.
        driven: Ids of those among them that `was_driven`.
        in_order: The process before told its runs to stop, and waited for their nodes.
    """
    epochs = Epochs(await store.own_events(STARTED))
    histories = await store.histories([record.run_id for record in records])
    found: dict[str, list[dict[str, Any]]] = {}
    for record, events in zip(records, histories, strict=True):
        projection = project(events, epochs.of)
        lost = None
        if projection is not None:
            lost = projection.lost(epochs.before_last(), driven=record.run_id in driven, in_order=in_order)
        found[record.run_id] = [] if lost is None else [{**asdict(lost), "since": iso_time(lost.since)}]
    return found
