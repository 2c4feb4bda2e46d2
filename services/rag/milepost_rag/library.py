"""Documents, embedding model and index together: the index follows the folder, and passages are found in it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from milepost_rag import documents
from milepost_rag.chunks import Chunk, chunks_of, parts_of
from milepost_rag.documents import File
from milepost_rag.embedder import Embedder, Vectors
from milepost_rag.index import Document, Index, Passage
from milepost_rag.limits import Limits
from milepost_rag.ranking import Way
from milepost_rag.reader import Reader, Reading
from milepost_rag.watching import FolderWatch
from milepost_service.errors import ConfigurationError
from milepost_service.models import sha256_of

T = TypeVar("T")
_SLICE = 16  # passages cut before a search may go between
_PART_TOKENS = 64  # that have a vector
_UNSETTLED_SECONDS = 1.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Changes:
    """What one look at the folder led to: paths. `unsettled` were being written, and are as they were before."""

    indexed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    unsettled: tuple[str, ...] = ()


@dataclass(frozen=True)
class Standing:
    """What is served now, why documents are refused, by path, and how far a change that is being read has come."""

    documents: int = 0
    passages: int = 0
    refused: Mapping[str, str] | None = None
    indexing: str = ""


class Library:
    """`open` before anything else, `close` at the end. Model and index live in one thread, documents in a process."""

    def __init__(
        self, folder: Path, data: Path, model: Path, *, chunk_tokens: int, limits: Limits | None = None
    ) -> None:
        self._folder = folder
        self._data = data
        self._model = model
        self._chunk_tokens = chunk_tokens
        self._limits = limits or Limits()
        self._reader = Reader(folder, self._limits)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="library")
        self._embedder: Embedder | None = None
        self._index: Index | None = None
        self.standing = Standing()

    async def open(self) -> None:
        """Loads the model and the index and brings the index up to date."""
        await self._run(self._open)
        await self.refresh()

    async def close(self) -> None:
        await self._reader.close()
        await self._run(self._close)
        self._thread.shutdown()

    async def refresh(self) -> Changes:
        """Looks at every document. Those that are new, have changed or are gone change the index, all at once."""
        served = await self._run(lambda: self._opened[1].documents())
        staged = await self._run(lambda: self._opened[1].staged())
        files, over = await self._run(self._scan)
        known = {**served, **staged}
        present = {file.path for file in files}
        corpus = _Corpus({path: document for path, document in known.items() if path in present}, self._limits)
        changed = [file for file in files if corpus.must_read(file)]
        unsettled = []
        for place, file in enumerate(changed, start=1):
            self.standing = replace(self.standing, indexing=f"{place} of {len(changed)} documents")
            if not await self._stage(file, corpus):
                unsettled.append(file.path)
        await self._reader.close()  # its memory is wanted for nothing until the next change
        staged = await self._run(lambda: self._opened[1].staged())
        removed = tuple(sorted(path for path in served if path not in present))
        if staged or removed:
            await self._run(lambda: self._opened[1].publish(present))
        self.standing = await self._run(lambda: self._look(over))
        return Changes(
            tuple(path for path, document in sorted(staged.items()) if not document.refused),
            removed,
            tuple(path for path, document in sorted(staged.items()) if document.refused),
            tuple(unsettled),
        )

    async def follow(self, seconds: float) -> None:
        """Refreshes for ever, when the folder changes and every so often; what goes wrong is logged and tried again."""
        with FolderWatch(self._folder) as watch:
            pause = 0.0  # what changed before we watched
            while True:
                await watch.changed(pause)
                pause = seconds
                try:
                    changes = await self.refresh()
                except Exception:
                    _log.exception("documents could not be indexed")
                    continue
                if changes.unsettled:
                    pause = min(pause, _UNSETTLED_SECONDS)
                if changes.indexed or changes.removed:
                    _log.info("documents changed", extra={"indexed": changes.indexed, "removed": changes.removed})

    async def search(self, query: str, limit: int, way: Way = "both") -> list[Passage]:
        """The best passages for a query, best first."""

        def search() -> list[Passage]:
            embedder, index = self._opened
            return index.search(query, embedder.embed([query])[0], limit, way)

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
        identity = f"{sha256_of(self._model)} chunks of {self._chunk_tokens} in parts of {_PART_TOKENS}"
        self._index = Index.open(self._data, size=self._embedder.size, identity=identity)

    def _close(self) -> None:
        for part in (self._index, self._embedder):
            if part:
                part.close()

    def _scan(self) -> tuple[list[File], int]:
        """Documents that there is room for, and how many more there are."""
        found = documents.scan(self._folder)
        files = list(islice(found, self._limits.documents))
        return files, sum(1 for _ in found)

    def _look(self, over: int) -> Standing:
        _, index = self._opened
        known = index.documents()
        refused = {path: document.refused for path, document in sorted(known.items()) if document.refused}
        served = len(known) - len(refused)
        if over:
            refused[f"{over} more"] = f"the folder holds over {self._limits.documents:,} documents"
        return Standing(served, index.count(), refused)

    async def _stage(self, file: File, corpus: "_Corpus") -> bool:
        """Reads, cuts and embeds a document; false when it is being written."""
        before = corpus.documents.get(file.path)
        reading = await self._reader.read(file.path, digest=before.digest if before and not before.refused else "")
        if reading.stamp and reading.stamp != file.stamp:
            return False
        if reading.unchanged:
            await self._run(lambda: self._opened[1].touch(file.path, file.stamp))
            return True
        chunks = [] if reading.refused else await self._cut(reading)
        document = corpus.admitted(file, reading, len(chunks))
        if document.refused:
            _log.warning("%s is left out: it %s", file.path, document.refused)
            chunks = []
        vectors = [vectors async for vectors in self._embedded(chunks)]
        await self._run(lambda: self._opened[1].stage(file.path, document, chunks, vectors))
        return True

    async def _cut(self, reading: Reading) -> list[Chunk]:
        cut = chunks_of(reading.blocks, max_tokens=self._chunk_tokens, count=self._opened[0].count)
        chunks: list[Chunk] = []
        while part := await self._run(lambda: list(islice(cut, _SLICE))):
            chunks += part
        return chunks

    async def _embedded(self, chunks: Sequence[Chunk]) -> AsyncIterator[Vectors]:
        embedder, _ = self._opened

        def embed(chunk: Chunk) -> Vectors:
            return embedder.embed(parts_of(chunk, max_tokens=_PART_TOKENS, count=embedder.count))

        for chunk in chunks:
            yield await self._run(partial(embed, chunk))


class _Corpus:
    """The documents as they will be when this change is published, and the room that they leave."""

    def __init__(self, documents: dict[str, Document], limits: Limits) -> None:
        self.documents = documents
        self._limits = limits
        self._passages = sum(document.passages for document in documents.values() if not document.refused)

    def must_read(self, file: File) -> bool:
        """Whether it is new, has changed, or was refused for want of room that there is now."""
        known = self.documents.get(file.path)
        if known is None or known.stamp != file.stamp:
            return True
        return bool(known.refused) and 0 < known.passages <= self._limits.passages - self._passages

    def admitted(self, file: File, reading: Reading, passages: int) -> Document:
        """The document as it goes into the index: refused for what its reading says, or when it does not fit."""
        known = self.documents.get(file.path)
        others = self._passages - (known.passages if known and not known.refused else 0)
        refused = reading.refused
        if not refused and others + passages > self._limits.passages:
            refused = f"has {passages:,} passages and the others {others:,}; allowed: {self._limits.passages:,} in all"
        document = Document(reading.digest, file.stamp, refused, passages)
        self.documents[file.path] = document
        self._passages = others + (0 if refused else passages)
        return document
