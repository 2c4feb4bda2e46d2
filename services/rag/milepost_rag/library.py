"""Documents, embedding model and index together, in one thread of their own."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from milepost_rag import documents
from milepost_rag.chunks import Chunk, chunks_of
from milepost_rag.embedder import Embedder, Vectors
from milepost_rag.index import Document, Index, Passage
from milepost_service.errors import ConfigurationError
from milepost_service.models import sha256_of

T = TypeVar("T")
_SLICE = 16  # passages embedded before a search may go between
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Changes:
    """What one look at the folder led to: paths."""

    indexed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


class Library:
    """Keeps the index equal to the folder, and finds passages. `open` before anything else, `close` at the end."""

    def __init__(self, folder: Path, data: Path, model: Path, *, chunk_tokens: int) -> None:
        self._folder = folder
        self._data = data
        self._model = model
        self._chunk_tokens = chunk_tokens
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="library")
        self._embedder: Embedder | None = None
        self._index: Index | None = None
        self.document_count = 0
        self.passage_count = 0

    async def open(self) -> None:
        """Loads the model and the index and brings the index up to date."""
        await self._run(self._open)
        await self.refresh()

    async def close(self) -> None:
        await self._run(self._close)
        self._thread.shutdown()

    async def refresh(self) -> Changes:
        """Looks at every document; those that are new or have changed are indexed, those that are gone forgotten."""
        known = await self._run(lambda: self._opened[1].documents())
        present = await self._run(lambda: list(documents.scan(self._folder)))
        indexed, skipped = [], []
        for file in present:
            before = known.get(file.path)
            if before and before.stamp == file.stamp:
                continue
            if file.size > documents.MAX_BYTES:
                skipped.append(file.path)
                continue
            try:
                if await self._index_file(file, before):
                    indexed.append(file.path)
            except OSError as error:
                _log.warning("%s cannot be read: %s", file.path, error.strerror)
                skipped.append(file.path)
        readable = {file.path for file in present} - set(skipped)
        removed = [path for path in known if path not in readable]
        for path in removed:
            await self._run(lambda path=path: self._opened[1].remove(path))  # type: ignore[misc]
        await self._run(self._count)
        return Changes(tuple(indexed), tuple(removed), tuple(skipped))

    async def watch(self, seconds: float) -> None:
        """Refreshes for ever, every so often; what goes wrong is logged and tried again."""
        reported: tuple[str, ...] = ()
        while True:
            await asyncio.sleep(seconds)
            try:
                changes = await self.refresh()
            except Exception:
                _log.exception("documents could not be indexed")
                continue
            if changes.indexed or changes.removed:
                _log.info("documents changed", extra={"indexed": changes.indexed, "removed": changes.removed})
            if changes.skipped and changes.skipped != reported:
                _log.warning(
                    "documents left out (over %d bytes or unreadable): %s", documents.MAX_BYTES, changes.skipped
                )
            reported = changes.skipped

    async def search(self, query: str, limit: int) -> list[Passage]:
        """The best passages for a query, best first."""

        def search() -> list[Passage]:
            embedder, index = self._opened
            return index.search(query, embedder.embed([query])[0], limit)

        return await self._run(search)

    async def count(self, text: str) -> int:
        """Tokens of a text as the embedding model counts them; other models' counts are not far."""
        return await self._run(lambda: self._opened[0].count(text))

    @property
    def _opened(self) -> tuple[Embedder, Index]:
        assert self._embedder is not None
        assert self._index is not None, "open() comes first"
        return self._embedder, self._index

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _open(self) -> None:
        if not self._folder.is_dir():
            raise ConfigurationError(f"MILEPOST_DOCUMENTS_DIR: {self._folder} is not there; allowed: a folder")
        self._embedder = Embedder(self._model)
        identity = f"{sha256_of(self._model)} chunks of {self._chunk_tokens}"
        self._index = Index.open(self._data, size=self._embedder.size, identity=identity)

    def _close(self) -> None:
        for part in (self._index, self._embedder):
            if part:
                part.close()

    def _count(self) -> None:
        _, index = self._opened
        self.document_count, self.passage_count = len(index.documents()), index.count()

    async def _index_file(self, file: documents.File, before: Document | None) -> bool:
        digest, text = await self._run(lambda: documents.read(self._folder, file.path))
        if before and before.digest == digest:
            await self._run(lambda: self._opened[1].touch(file.path, file.stamp))
            return False
        chunks = await self._run(lambda: chunks_of(text, max_tokens=self._chunk_tokens, count=self._opened[0].count))
        vectors = await self._embed(chunks)
        document = Document(digest, file.stamp)
        await self._run(lambda: self._opened[1].replace(file.path, document, chunks, vectors))
        return True

    async def _embed(self, chunks: list[Chunk]) -> Vectors:
        slices = [
            await self._run(lambda part=chunks[at : at + _SLICE]: self._opened[0].embed([c.searchable for c in part]))  # type: ignore[misc]
            for at in range(0, len(chunks), _SLICE)
        ]
        return np.concatenate(slices) if slices else np.zeros((0, self._opened[0].size), dtype=np.float32)
