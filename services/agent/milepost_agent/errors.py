"""Errors of the agent: one tree, each message one line with where, what and what to do."""

from milepost_service.errors import ConfigurationError, MilepostError


class AgentError(MilepostError):
    """Root of what goes wrong in the agent on purpose."""


class FailpointsInvalid(AgentError, ConfigurationError):
    """MILEPOST_FAILPOINTS names an unknown failpoint or action."""


class FailpointReached(AgentError):
    """A failpoint with the action `raise` was passed."""


class InvalidRequest(AgentError):
    """A request whose content is refused: which field, what is wrong, what is allowed."""


class NotWaiting(AgentError):
    """The run does not wait for what was answered."""


class AnsweredDifferently(NotWaiting):
    """The run had another answer to this before."""


class Displaced(AgentError):
    """A service was called by a later owner of this agent's file: this process must stop."""


class Draining(AgentError):
    """The agent is stopping and accepts nothing more."""


class ServiceCallFailed(AgentError):
    """A service did not complete a call. `code` is the gRPC status name, `retryable` says if another try may help."""

    # A service that dies in the middle of a stream ends it as UNKNOWN or CANCELLED.
    RETRYABLE = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED", "UNKNOWN", "CANCELLED"})

    def __init__(self, service: str, code: str, detail: str) -> None:
        self.service = service
        self.code = code
        self.detail = detail
        super().__init__(f"{service}: {self.reason}: {detail}")

    @property
    def reason(self) -> str:
        """The code in CamelCase, for example DeadlineExceeded."""
        return "".join(part.title() for part in self.code.split("_"))

    @property
    def retryable(self) -> bool:
        return self.code in self.RETRYABLE

    @property
    def timed_out(self) -> bool:
        """Whether the service worked and the time for it was over."""
        return self.code == "DEADLINE_EXCEEDED"

    @property
    def busy(self) -> bool:
        """Whether the service is well and only has no room now."""
        return self.code == "RESOURCE_EXHAUSTED"


class StoreError(AgentError):
    """Root of what goes wrong with the file of the runs."""


class StoreLocked(StoreError):
    """Another process owns the file."""


class StoreFenced(StoreError):
    """Another process took the file over while this one was using it."""


class StoreUnavailable(StoreError):
    """The file cannot be written where it is: read-only disk, permission, not a folder, network filesystem."""


class StoreNotWritable(StoreUnavailable):
    """The disk takes nothing now: full, read-only, or failing. It may do so later."""


class StoreCorrupt(StoreError):
    """The file is no sound database. It is left as it was found."""


class StoreVersion(StoreError):
    """The file was written by a newer release."""


class StoreForeign(StoreError):
    """The file is a sound database of another application. It is left as it was found."""


class UnsupportedSqlite(StoreError):
    """The SQLite in use has the WAL-reset corruption bug."""


class StoreClosed(StoreError):
    """The store was closed before the call could be done."""


class StoreWriteError(StoreError):
    """A commit failed: disk full, I/O error. Nothing of it is promised, and no further write is taken.

    `errno` is what the system said, where it said anything; else 0.
    """

    def __init__(self, message: str, errno: int = 0) -> None:
        self.errno = errno
        super().__init__(message)


class RunNotFound(StoreError):
    """There is no run with that id."""


class RunConflict(StoreError):
    """The correlation id or run id belongs to a run that was accepted with another body."""


class RequestConflict(StoreError):
    """The request id belongs to another request."""


class LedgerConflict(StoreError):
    """The call id was recorded before with another request."""


class MessageConflict(StoreError):
    """The message id was used before in this run for another message."""


class BackupNotFound(StoreError):
    """There is no backup with that id."""


class BackupDamaged(StoreError):
    """A backup does not verify: its file and its manifest do not agree, or the file is no sound database of ours."""


class BackupConflict(StoreError):
    """The backup id belongs to a backup with other content."""


class BackupFailed(StoreError):
    """A backup could not be made or kept: no room, I/O error, or the store is closing. The runs are not concerned."""
