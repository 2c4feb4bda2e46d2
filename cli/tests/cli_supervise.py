"""Runs the real supervisor over the processes in a JSON file, as `milepost up` does after its preparations.

usage: cli_supervise.py STATE PROCESSES.json; each process is {"name", "role", "target", "arguments"}; one of the
role gateway is the real gateway at the port of its target
"""

import asyncio
import json
import sys
from pathlib import Path

from milepost_cli.announcer import Announcer
from milepost_cli.child import ProcessSpec
from milepost_cli.errors import CliError
from milepost_cli.gateway import gateway_spec
from milepost_cli.state import StateDirectory
from milepost_cli.supervisor import Supervisor

PROCESS = Path(__file__).with_name("cli_health_process.py")
GRACE = 2.0


def main() -> int:
    state = StateDirectory(Path(sys.argv[1]))
    processes = json.loads(Path(sys.argv[2]).read_text())
    try:
        with state.owned():
            agents = {each["name"]: each["target"] for each in processes if each["role"] == "agent"}
            names = [each["name"] for each in processes]
            specs = [
                gateway_spec(state, agents, names, int(process["target"].rpartition(":")[2]))
                if process["role"] == "gateway"
                else ProcessSpec(
                    name=process["name"],
                    role=process["role"],
                    argv=(sys.executable, str(PROCESS), process["target"], *process["arguments"]),
                    env={},
                    target=process["target"],
                    log=state.logs / f"{process['name']}.log",
                )
                for process in processes
            ]
            try:
                asyncio.run(Supervisor(specs, state, Announcer(), grace=GRACE).run())
            finally:
                state.clear()
    except CliError as error:
        sys.stderr.write(f"milepost: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
