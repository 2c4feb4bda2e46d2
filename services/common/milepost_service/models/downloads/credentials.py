"""The hub to ask and the tokens to send, by the environment; a token comes from nowhere else."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
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
    """`token_file` holds the token of a source that has a `secretRef`."""

    hub: str = PUBLIC_HUB
    hub_token: str = ""
    token_file: Path | None = None

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> "Credentials":
        """Raises ConfigurationError for a hub that is no URL."""
        hub = environment.get(HUB_VARIABLE) or PUBLIC_HUB
        if not hub.startswith(("http://", "https://")):
            raise ConfigurationError(f"{HUB_VARIABLE}: {hub!r} is no URL; allowed: one with http:// or https://")
        file = environment.get(TOKEN_FILE_VARIABLE)
        return cls(hub, environment.get(HUB_TOKEN_VARIABLE, ""), Path(file) if file else None)

    def token(self, source: ModelSource, where: str) -> str:
        """The token to send to the host of the source, "" for none.

        Raises ConfigurationError when the source has a Secret that is not to be found here.
        """
        hub_token = self.hub_token if source.hugging_face is not None else ""
        if source.secret_ref is None or (self.token_file is None and hub_token):
            return _checked(hub_token, HUB_TOKEN_VARIABLE)
        if self.token_file is None:
            raise ConfigurationError(
                f"{where}.secretRef: no token is here; allowed: a file with it, named by {TOKEN_FILE_VARIABLE}"
            )
        try:
            return _checked(self.token_file.read_text(encoding="utf-8"), TOKEN_FILE_VARIABLE) or _refuse_empty()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"{TOKEN_FILE_VARIABLE}: {self.token_file} cannot be read ({error}); allowed: a file with a token"
            ) from None


def _checked(token: str, variable: str) -> str:
    token = token.strip()
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ConfigurationError(f"{variable}: holds no token; allowed: visible ASCII characters without spaces")
    return token


def _refuse_empty() -> str:
    raise ConfigurationError(f"{TOKEN_FILE_VARIABLE}: is empty; allowed: a file with a token")
