"""The key for the server: read from the file that its Secret is mounted as, and told to nobody else."""

import re
from pathlib import Path

from milepost_crds import OpenAI
from milepost_service.errors import ConfigurationError, FailedPreconditionError

_KEY_BYTES = 8192
_KEY = re.compile(r"[!-~]+")
_STANDS_FOR_KEY = "[key]"


class KeyUnreadableError(FailedPreconditionError):
    """The file of the Secret is not there, or holds no key."""


class ApiKey:
    """Read anew for each request, so that a Secret that was changed is used without a restart."""

    def __init__(self, spec: OpenAI, file: Path | None) -> None:
        """Refuses a missing file or key.

        Raises:
            ConfigurationError: the spec names a Secret, and there is no key to be had from it.
        """
        self._secret = spec.secret_ref
        self._file = file
        self._known: list[str] = []
        if self._secret is not None and file is None:
            raise ConfigurationError(f"MILEPOST_API_KEY_FILE: is not set; allowed: the file with {self}")
        try:
            self.read()
        except KeyUnreadableError as error:
            raise ConfigurationError(str(error)) from None

    def __str__(self) -> str:
        """Which key it is; never the key itself."""
        if self._secret is None:
            return "no key (spec.openAI.secretRef is not set)"
        return f'the key "{self._secret.key}" of the Secret "{self._secret.name}"'

    __repr__ = __str__

    def read(self) -> str:
        """The key of this moment; empty where none is sent. Raises KeyUnreadableError."""
        if self._secret is None or self._file is None:
            return ""
        try:
            with self._file.open("rb") as file:
                found = file.read(_KEY_BYTES + 1).decode("ascii").strip()
        except OSError as error:
            raise KeyUnreadableError(f"spec.openAI.secretRef: {self} cannot be read ({error.strerror})") from None
        except UnicodeDecodeError:
            found = ""
        if not _KEY.fullmatch(found) or len(found) > _KEY_BYTES:
            raise KeyUnreadableError(
                f"spec.openAI.secretRef: {self} is empty or no key; allowed: one line of visible ASCII characters"
            )
        if found not in self._known:
            self._known = [*self._known[-3:], found]
        return found

    def without(self, text: str) -> str:
        """The text with each key that was read lately taken out: a server may repeat what it was sent."""
        for key in self._known:
            text = text.replace(key, _STANDS_FOR_KEY)
        return text
