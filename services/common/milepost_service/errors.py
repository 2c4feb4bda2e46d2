"""The errors of every Milepost process: what the operator of a process can fix, and what a caller is told."""


class MilepostError(Exception):
    """Any error that Milepost raises on purpose."""


class ConfigurationError(MilepostError):
    """Something that whoever starts the process can fix. Its text is one line: where, what, what is allowed."""


class ProcessMustEnd(MilepostError):
    """The process cannot go on as it is, and only a new start can tell what is next. Its text is one line."""


class ServiceError(MilepostError):
    """A refusal that a gRPC caller sees as the status `code` with this text. `retry_after` is in seconds."""

    code = "INTERNAL"
    """Name of the gRPC status code."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class InvalidArgumentError(ServiceError):
    """The request itself is wrong: the same request will fail again."""

    code = "INVALID_ARGUMENT"


class NotFoundError(ServiceError):
    """There is nothing under the name that was asked for."""

    code = "NOT_FOUND"


class AlreadyExistsError(ServiceError):
    """The same id was used before with another body."""

    code = "ALREADY_EXISTS"


class FailedPreconditionError(ServiceError):
    """The request is well formed, but this service or its state does not allow it."""

    code = "FAILED_PRECONDITION"


class ResourceExhaustedError(ServiceError):
    """No room now; `retry_after` says when to come again."""

    code = "RESOURCE_EXHAUSTED"


class UnavailableError(ServiceError):
    """Something this service depends on is not there now."""

    code = "UNAVAILABLE"


class RemoteError(ServiceError):
    """Another service refused; its status is passed on."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


__all__ = [
    "AlreadyExistsError",
    "ConfigurationError",
    "FailedPreconditionError",
    "InvalidArgumentError",
    "MilepostError",
    "NotFoundError",
    "ProcessMustEnd",
    "RemoteError",
    "ResourceExhaustedError",
    "ServiceError",
    "UnavailableError",
]
