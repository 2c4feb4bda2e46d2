"""Errors of the command line: each is one line that says where, what, and what to do; none is shown as a trace back."""

from __future__ import annotations


class CliError(Exception):
    """Root. The message is the line that a person reads; the process ends with `exit_code`."""

    exit_code = 2


class UsageError(CliError):
    """The command was not given as it must be."""


class StateError(CliError):
    """The state directory cannot be used."""


class AlreadyUpError(StateError):
    """Another `milepost up` owns the state directory."""


class NotRunningError(CliError):
    """No `milepost up` owns the state directory."""


class StartError(CliError):
    """`milepost up` cannot start what it was asked to start."""


class AgentError(CliError):
    """An agent refused a request or cannot be reached."""


class AwayError(AgentError):
    """An agent has not answered for longer than it may take."""


class NotFoundError(AgentError):
    """No agent knows the run, or no workflow has the name."""
