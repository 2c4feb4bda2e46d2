"""The zygote itself: reads orders (JSON lines) from standard input, forks, and answers each with one line.

A child is a process of its own: session, environment, log, and the entry point that the installed command calls.
"""

import ctypes
import gc
import json
import os
import runpy
import signal
import sys
from pathlib import Path
from typing import Any

import matrix_recorder
from matrix_zygote import AGENT
from milepost_agent.main import main as agent_main

Order = dict[str, Any]
PR_SET_PDEATHSIG = 1
"""A child does not outlive the zygote."""


def _run_child(order: Order) -> int:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.environ.update(order["environment"])
    if order["cgroup"]:
        Path(order["cgroup"], "cgroup.procs").write_text(str(os.getpid()))
    if order["recording"]:
        matrix_recorder.record_into(Path(order["recording"]))
    try:
        if order["program"] == AGENT:
            agent_main()
        else:
            runpy.run_path(order["program"], run_name="__main__")
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 1
    return 0


def _fork(order: Order) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        status = _run_child(order)
    finally:
        sys.stderr.flush()
        os._exit(status)


def _reap(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main() -> None:
    # What is inherited is not collected: the pages stay shared.
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for line in sys.stdin:
        order = json.loads(line)
        answer = _reap(order["reap"]) if "reap" in order else _fork(order)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
