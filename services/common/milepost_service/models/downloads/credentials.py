"""The hub to ask and the tokens to send, by the environment; a token comes from nowhere else."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from milepost_crds import ModelSource
from milepost_service.errors import ConfigurationError

TOKEN_FILE_VARIABLE = "MILEPOST_MODEL_TOKEN_FILE"  # noqa: S105 -- only its name
HUB_VARIABLE = "HF_ENDPOINT"
HUB_TOKEN_VARIABLE = "HF_TOKEN"  # noqa: S105 -- only its name
"""Named as the hub's own tools name them."""
PUBLIC_HUB = "https://huggingface.co"


@dataclass(frozen=True)
class Credentials:
    """A source with a `secretRef` has its token in a file: `token_file`, or that of a folder for the Secret."""

    hub: str = PUBLIC_HUB
    hub_token: str = ""
    token_file: Path | None = None
    secrets: Mapping[str, Path] = field(default_factory=dict)
    """Folders by the names of Secrets, with a file for each key."""

    @classmethod
    def of_environment(
        cls, environment: Mapping[str, str] = os.environ, *, secrets: Mapping[str, Path] | None = None
    ) -> "Credentials":
        """Raises ConfigurationError for a hub that is no URL."""
        hub = environment.get(HUB_VARIABLE) or PUBLIC_HUB
        if not hub.startswith(("http://", "https://")):
            raise ConfigurationError(f"{HUB_VARIABLE}: {hub!r} is no URL; allowed: one with http:// or https://")
        file = environment.get(TOKEN_FILE_VARIABLE)
        return cls(hub, environment.get(HUB_TOKEN_VARIABLE, ""), Path(file) if file else None, secrets or {})

    def token(self, source: ModelSource, where: str) -> str:
        """The token to send to the host of the source, "" for none.

        Raises ConfigurationError when the source has a Secret that is not to be found here.
        """
        hub_token = self.hub_token if source.hugging_face is not None else ""
        if source.secret_ref is None:
            return _checked(hub_token, HUB_TOKEN_VARIABLE)
        folder = self.secrets.get(source.secret_ref.name)
        file = folder / source.secret_ref.key if folder is not None else self.token_file
        if file is None:
            raise ConfigurationError(
                f"{where}.secretRef: no token is here; allowed: a file with it, named by {TOKEN_FILE_VARIABLE}"
            )
        try:
            return _checked(file.read_text(encoding="utf-8"), TOKEN_FILE_VARIABLE) or _refuse_empty()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"{TOKEN_FILE_VARIABLE}: {file} cannot be read ({error}); allowed: a file with a token"
            ) from None


def _checked(token: str, variable: str) -> str:
    token = token.strip()
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ConfigurationError(f"{variable}: holds no token; allowed: visible ASCII characters without spaces")
    return token


def _refuse_empty() -> str:
    raise ConfigurationError(f"{TOKEN_FILE_VARIABLE}: is empty; allowed: a file with a token")
