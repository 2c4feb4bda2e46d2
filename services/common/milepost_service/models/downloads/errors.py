"""What ends an attempt, and what it means for the next one."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from milepost_service.errors import ConfigurationError
from milepost_service.models.downloads.remote_file import without_secrets


class Interrupted(Exception):
    """An attempt ended, and another one may succeed; the server may have asked to wait `after` seconds."""

    def __init__(self, message: str, *, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


_PASSING = {408, 425, 429}
_ACCESS = "a Secret in secretRef with a token that may read it"


@contextmanager
def told(url: str, where: str) -> Iterator[None]:
    """Inside, what goes wrong on the network is an Interrupted, or a ConfigurationError where no attempt can help."""
    shown = f"{where}: {without_secrets(url)}"
    try:
        yield
    except httpx.TooManyRedirects:
        raise ConfigurationError(f"{shown} redirects too often; allowed: the URL of the file itself") from None
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise ConfigurationError(f"{shown} leads to no URL that can be fetched ({error}); allowed: HTTP(S)") from None
    except httpx.TimeoutException as error:
        raise Interrupted("stalled" if isinstance(error, httpx.ReadTimeout) else "no answer in time") from error
    except httpx.TransportError as error:
        if (reason := _certificate(error)) is not None:
            raise ConfigurationError(
                f"{shown} has a certificate that is not trusted ({reason}); allowed: one of an authority that "
                "SSL_CERT_FILE or the system knows"
            ) from None
        raise Interrupted(_first_line(error)) from error


def require_success(response: httpx.Response, url: str, where: str) -> None:
    """Raises Interrupted for what passes, ConfigurationError for other answers than 200 and 206."""
    status = response.status_code
    if status in {httpx.codes.OK, httpx.codes.PARTIAL_CONTENT}:
        return
    said = f"{status} {response.reason_phrase}".strip()
    if status in _PASSING or status >= 500:
        raise Interrupted(f"the server answers {said}", after=_retry_after(response))
    allowed = _ACCESS if status in {401, 403} else "the URL of a file that is there"
    raise ConfigurationError(f"{where}: {without_secrets(url)} answers {said}; allowed: {allowed}")


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() else None


def _certificate(error: BaseException | None) -> str | None:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message
        error = error.__cause__ or error.__context__
    return None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
