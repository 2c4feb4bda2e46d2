"""A file at a URL, and all that is known of it before its first byte."""

from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class RemoteFile:
    """`sha256` is hexadecimal, in lower case; `size` is in bytes, None where nobody told.

    `token` is sent as a bearer token to the host of `url` alone. `where` is the field that a message blames.
    """

    url: str
    sha256: str
    where: str
    size: int | None = None
    token: str = ""

    @property
    def shown(self) -> str:
        """The URL for people: without its query, which may be a signature."""
        return without_secrets(self.url)


def without_secrets(url: str) -> str:
    """A URL without what may let its reader in: user, password, query and fragment."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
