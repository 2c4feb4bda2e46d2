"""The passages on disk, found by meaning and by word.

One SQLite file: sqlite-vec for vectors, FTS5 for words, and the passages themselves; docs/rag.md says why.

What is read is staged first, a document at a time, and takes its place in one transaction with the rest of its change
(`publish`). So a search sees a change whole or not at all, and after a kill nothing that was staged is embedded again.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import apsw
import sqlite_vec

from milepost_rag.chunks import Chunk
from milepost_rag.embedder import Vectors
from milepost_rag.errors import IndexUnusableError
from milepost_rag.ranking import fused, match_of
from milepost_service.errors import ConfigurationError

_VERSION = "2"
_DEPTH = 8  # places looked at by each way, for each passage asked for
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (path TEXT PRIMARY KEY, digest TEXT NOT NULL, stamp TEXT NOT NULL, refused TEXT NOT NULL,
                        passages INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE chunks (id INTEGER PRIMARY KEY, path TEXT NOT NULL, heading TEXT NOT NULL, text TEXT NOT NULL,
                     line INTEGER NOT NULL, page INTEGER NOT NULL);
CREATE INDEX chunks_by_path ON chunks (path);
CREATE VIRTUAL TABLE words USING fts5(heading, text, content='', contentless_delete=1, tokenize='porter unicode61');
CREATE VIRTUAL TABLE vectors USING vec0(embedding FLOAT[{size}] distance_metric=cosine);
CREATE TABLE staged_documents (path TEXT PRIMARY KEY, digest TEXT NOT NULL, stamp TEXT NOT NULL, refused TEXT NOT NULL,
                               passages INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE staged_chunks (id INTEGER PRIMARY KEY, path TEXT NOT NULL, heading TEXT NOT NULL, text TEXT NOT NULL,
                            line INTEGER NOT NULL, page INTEGER NOT NULL, embedding BLOB NOT NULL);
CREATE INDEX staged_chunks_by_path ON staged_chunks (path);
"""


@dataclass(frozen=True)
class Document:
    """A file as it was read: SHA-256 of its content, and a stamp (size and times) that says when to look again.

    `refused` is why it is not in the index, empty when it is. `passages` are those that it has, or would have had: a
    document is refused with more than 0 where the corpus has no room for them.
    """

    digest: str
    stamp: str
    refused: str = ""
    passages: int = 0


@dataclass(frozen=True)
class Passage:
    """A chunk that was found. `score` is the cosine similarity to the query."""

    path: str
    chunk: Chunk
    score: float


class Index:
    """Belongs to one thread."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    @classmethod
    def open(cls, folder: Path, *, size: int, identity: str) -> "Index":
        """Opens `folder/index.db`; makes it anew when it is damaged or was made with another `identity`.

        `size` is the length of a vector; `identity` names what the vectors depend on (model and chunk length).
        """
        path = folder / "index.db"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                return cls._open(path, size, identity)
            except (IndexUnusableError, apsw.NotADBError, apsw.CorruptError, apsw.SQLError):
                for suffix in ("", "-wal", "-shm"):
                    path.with_name(path.name + suffix).unlink(missing_ok=True)
                return cls._open(path, size, identity)
        except (OSError, apsw.CantOpenError, apsw.ReadOnlyError, apsw.IOError, apsw.BusyError) as error:
            raise ConfigurationError(
                f"MILEPOST_DATA_DIR: {folder} cannot be used: {error}; allowed: a writable folder of this process only"
            ) from None

    @classmethod
    def _open(cls, path: Path, size: int, identity: str) -> "Index":
        connection = apsw.Connection(str(path))
        try:
            _prepare(connection)
            wanted = {"version": _VERSION, "identity": identity, "size": str(size)}
            if not list(connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'meta'")):
                with connection:
                    connection.execute(_SCHEMA.format(size=size))
                    connection.executemany("INSERT INTO meta VALUES (?, ?)", wanted.items())
            if dict(connection.execute("SELECT key, value FROM meta")) != wanted:
                raise IndexUnusableError(f"{path} was made with another model or version")
        except BaseException:
            connection.close()
            raise
        return cls(connection)

    def close(self) -> None:
        self._connection.close()

    def documents(self) -> dict[str, Document]:
        """By path, those that are served and those that were refused."""
        rows = self._connection.execute("SELECT path, digest, stamp, refused, passages FROM documents")
        return {path: Document(*rest) for path, *rest in rows}

    def staged(self) -> dict[str, Document]:
        """By path, those that wait for `publish`."""
        rows = self._connection.execute("SELECT path, digest, stamp, refused, passages FROM staged_documents")
        return {path: Document(*rest) for path, *rest in rows}

    def stage(self, path: str, document: Document, chunks: Sequence[Chunk], vectors: Vectors) -> None:
        """Keeps a document's passages, shape of `vectors` (passages, size), until `publish`."""
        execute = self._connection.execute
        with self._connection:
            execute("DELETE FROM staged_chunks WHERE path = ?", (path,))
            execute(
                "REPLACE INTO staged_documents VALUES (?, ?, ?, ?, ?)",
                (path, document.digest, document.stamp, document.refused, document.passages),
            )
            self._connection.executemany(
                "INSERT INTO staged_chunks (path, heading, text, line, page, embedding) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    (path, chunk.heading, chunk.text, chunk.line, chunk.page, vector.tobytes())
                    for chunk, vector in zip(chunks, vectors, strict=True)
                ),
            )

    def touch(self, path: str, stamp: str) -> None:
        """The file was looked at again and says the same."""
        with self._connection:
            self._connection.execute("UPDATE documents SET stamp = ? WHERE path = ?", (stamp, path))
            self._connection.execute("UPDATE staged_documents SET stamp = ? WHERE path = ?", (stamp, path))

    def publish(self, present: Collection[str]) -> None:
        """What was staged takes its place, and documents that are not `present` any more are forgotten: all at once."""
        execute = self._connection.execute
        with self._connection:
            known = {path for (path,) in execute("SELECT path FROM documents UNION SELECT path FROM staged_documents")}
            for path in known.difference(present):
                self._forget(path)
            for (path,) in list(execute("SELECT path FROM staged_documents")):
                self._forget_served(path)
                self._take_over(path)
            execute("DELETE FROM staged_chunks; DELETE FROM staged_documents")

    def count(self) -> int:
        """Number of passages."""
        return int(next(self._connection.execute("SELECT count(*) FROM chunks"))[0])

    def search(self, query: str, vector: Vectors, limit: int) -> list[Passage]:
        """The best passages, best first: nearest in meaning and best in words, fused by their ranks."""
        depth = limit * _DEPTH
        rows = fused(self.by_meaning(vector, depth), self.by_words(query, depth))
        return [self.passage(row, vector) for row in rows[:limit]]

    def by_meaning(self, vector: Vectors, limit: int) -> list[int]:
        """Rows of the passages with the nearest vectors, nearest first."""
        return [
            row
            for (row,) in self._connection.execute(
                "SELECT rowid FROM vectors WHERE embedding MATCH ? AND k = ? ORDER BY distance",
                (vector.tobytes(), limit),
            )
        ]

    def by_words(self, query: str, limit: int) -> list[int]:
        """Rows of the passages with the query's words, best first by BM25."""
        match = match_of(query)
        if not match:
            return []
        return [
            row
            for (row,) in self._connection.execute(
                "SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?", (match, limit)
            )
        ]

    def passage(self, row: int, vector: Vectors) -> Passage:
        path, heading, text, line, page, distance = next(
            self._connection.execute(
                "SELECT path, heading, text, line, page, vec_distance_cosine(vectors.embedding, ?) FROM chunks "
                "JOIN vectors ON vectors.rowid = chunks.id WHERE chunks.id = ?",
                (vector.tobytes(), row),
            )
        )
        return Passage(path, Chunk(heading, text, line, page), 1 - distance)

    def _take_over(self, path: str) -> None:
        execute = self._connection.execute
        execute("INSERT INTO documents SELECT * FROM staged_documents WHERE path = ?", (path,))
        rows = execute(
            "SELECT heading, text, line, page, embedding FROM staged_chunks WHERE path = ? ORDER BY id", (path,)
        )
        for heading, text, line, page, embedding in list(rows):
            execute(
                "INSERT INTO chunks (path, heading, text, line, page) VALUES (?, ?, ?, ?, ?)",
                (path, heading, text, line, page),
            )
            row = self._connection.last_insert_rowid()
            execute("INSERT INTO words (rowid, heading, text) VALUES (?, ?, ?)", (row, heading, text))
            execute("INSERT INTO vectors (rowid, embedding) VALUES (?, ?)", (row, embedding))

    def _forget(self, path: str) -> None:
        self._forget_served(path)
        self._connection.execute("DELETE FROM staged_chunks WHERE path = ?", (path,))
        self._connection.execute("DELETE FROM staged_documents WHERE path = ?", (path,))

    def _forget_served(self, path: str) -> None:
        rows = list(self._connection.execute("SELECT id FROM chunks WHERE path = ?", (path,)))
        self._connection.executemany("DELETE FROM words WHERE rowid = ?", rows)
        self._connection.executemany("DELETE FROM vectors WHERE rowid = ?", rows)
        self._connection.execute("DELETE FROM chunks WHERE path = ?", (path,))
        self._connection.execute("DELETE FROM documents WHERE path = ?", (path,))


def _prepare(connection: apsw.Connection) -> None:
    connection.set_busy_timeout(2000)
    connection.enable_load_extension(True)
    connection.load_extension(sqlite_vec.loadable_path())
    connection.enable_load_extension(False)
    connection.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")
