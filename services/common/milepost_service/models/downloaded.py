"""Models of a URL or a Hugging Face Hub, as files of the cache that are named after their SHA-256.

What a revision of a hub named when it was fetched is noted beside the file: a start needs no hub, and every start has
the same model.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote, urlsplit

from milepost_crds import HuggingFaceSource, ModelSource
from milepost_service.errors import ConfigurationError
from milepost_service.models.cache import CachedFile, make_once, write_whole
from milepost_service.models.downloads.credentials import Credentials
from milepost_service.models.downloads.part import PartFile
from milepost_service.models.downloads.patience import Patience
from milepost_service.models.downloads.remote_file import RemoteFile
from milepost_service.models.progress import Progress, Transfer, Watch

_LONGEST_STEM = 80


@dataclass(frozen=True)
class Downloads:
    """Where files are kept, and who hears how far they are."""

    cache_dir: Path
    say: Progress
    watch: Watch
    patience: Patience = field(default_factory=Patience)
    credentials: Credentials | None = None
    """None: those of the environment."""

    def ensure(self, source: ModelSource, where: str) -> tuple[Path, str]:
        """Path and SHA-256 of the file that `url` or `huggingFace` names, fetched when it is not in the cache.

        `where` is the field of the source, for messages. Of several processes one fetches it; the others wait, and
        show how far it is. Raises ConfigurationError as `fetch` and `resolve` do.
        """
        if source.hugging_face is not None:
            return self._of_hub(source, source.hugging_face, where)
        assert source.url is not None
        assert source.sha256 is not None
        url, digest = source.url, source.sha256

        def remote() -> RemoteFile:
            return RemoteFile(url, digest, where, token=self._credentials().token(source, where))

        return self._fetched(self._cached(urlsplit(url).path, digest), remote), digest

    def _of_hub(self, source: ModelSource, hub_file: HuggingFaceSource, where: str) -> tuple[Path, str]:
        credentials = self._credentials()
        note = self._note_path(hub_file, credentials.hub)
        digest = source.sha256 or _noted(note)
        if digest and (file := self._cached(hub_file.file, digest)).is_good():
            return file.path, digest
        remote = self._resolved(source, hub_file, where, credentials)
        path = self._fetched(self._cached(hub_file.file, remote.sha256), lambda: remote)
        write_whole(note, json.dumps({"sha256": remote.sha256, "url": remote.url}) + "\n")
        return path, remote.sha256

    def _credentials(self) -> Credentials:
        return self.credentials or Credentials.of_environment()

    def _resolved(
        self, source: ModelSource, hub_file: HuggingFaceSource, where: str, credentials: Credentials
    ) -> RemoteFile:
        _require_httpx(where)
        from milepost_service.models.downloads.hugging_face import resolve  # noqa: PLC0415 -- needs httpx

        token = credentials.token(source, where)
        remote = resolve(
            hub_file, endpoint=credentials.hub, where=where, token=token, say=self.say, patience=self.patience
        )
        if source.sha256 not in (None, remote.sha256):
            raise ConfigurationError(
                f"{where}.sha256: {remote.shown} has sha256 {remote.sha256} by its hub; allowed: {source.sha256}"
            )
        return remote

    def _fetched(self, file: CachedFile, remote: Callable[[], RemoteFile]) -> Path:
        name = file.path.name

        def make(path: Path) -> str:
            found = remote()
            _require_httpx(found.where)
            from milepost_service.models.downloads.fetch import fetch  # noqa: PLC0415 -- needs httpx

            fetch(found, path, name=name, say=self.say, watch=self.watch, patience=self.patience)
            return found.sha256

        def waiting(path: Path) -> None:
            part = PartFile(path)
            if (total := part.total) is not None:
                self.watch(Transfer(name, part.size, total, by_another=True))

        return make_once(file, make, self.say, goes_on=True, waiting=waiting)

    def _cached(self, path: str, digest: str) -> CachedFile:
        stem = unquote(path).rpartition("/")[2].removesuffix(".gguf")
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip(".-")[:_LONGEST_STEM] or "model"
        return CachedFile(self.cache_dir / f"{stem}-{digest[:12]}.gguf", f"sha256 {digest}")

    def _note_path(self, file: HuggingFaceSource, hub: str) -> Path:
        key = sha256("\n".join((hub, file.repo, file.revision, file.file)).encode()).hexdigest()
        return self.cache_dir / f"{key[:24]}.revision.json"


def _require_httpx(where: str) -> None:
    try:
        importlib.import_module("httpx")
    except ImportError as error:
        raise ConfigurationError(
            f"{where}: Python package httpx is missing; allowed: an installation with the extra `model` or `agent`"
        ) from error


def _noted(note: Path) -> str:
    """The SHA-256 that a revision was resolved to, "" where that is not known."""
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(found.get("sha256", "")) if isinstance(found, dict) else ""
