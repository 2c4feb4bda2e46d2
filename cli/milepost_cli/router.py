"""`milepost router eval`: the agent's own evaluation of its router, run in place of this process."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from milepost_cli.errors import StartError

MODULE = "milepost_agent.evaluation"
NEEDED = ("milepost_agent", "numpy")


def become_evaluation(arguments: Sequence[str]) -> NoReturn:
    """Becomes the evaluation, so that its output, its exit code and every signal are those of this command.

    Raises:
        StartError: the agent, whose router it is, is not installed here.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise StartError(
            f"router: {', '.join(missing)} is not installed beside this command; "
            "install Milepost with its part for agents: milepost[agent]"
        )
    # -P: a file in the current folder is not taken for a module
    os.execv(sys.executable, [sys.executable, "-P", "-m", MODULE, *arguments])  # noqa: S606
