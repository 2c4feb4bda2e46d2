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
from milepost_rag.ranking import Way, match_of, ranked
from milepost_service.errors import ConfigurationError

_VERSION = "3"
_DEPTH = 8  # passages looked at by each way, for each one asked for
_PARTS = 3  # parts with a vector that a passage has, about
_MOST_NEIGHBOURS = 4096  # that sqlite-vec gives
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (path TEXT PRIMARY KEY, digest TEXT NOT NULL, stamp TEXT NOT NULL, refused TEXT NOT NULL,
                        passages INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE chunks (id INTEGER PRIMARY KEY, path TEXT NOT NULL, heading TEXT NOT NULL, text TEXT NOT NULL,
                     line INTEGER NOT NULL, page INTEGER NOT NULL);
CREATE INDEX chunks_by_path ON chunks (path);
CREATE TABLE parts (id INTEGER PRIMARY KEY, chunk INTEGER NOT NULL);
CREATE INDEX parts_by_chunk ON parts (chunk);
CREATE VIRTUAL TABLE words USING fts5(heading, text, content='', contentless_delete=1, tokenize='porter unicode61');
CREATE VIRTUAL TABLE vectors USING vec0(embedding FLOAT[{size}] distance_metric=cosine);
CREATE TABLE staged_documents (path TEXT PRIMARY KEY, digest TEXT NOT NULL, stamp TEXT NOT NULL, refused TEXT NOT NULL,
                               passages INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE staged_chunks (id INTEGER PRIMARY KEY, path TEXT NOT NULL, heading TEXT NOT NULL, text TEXT NOT NULL,
                            line INTEGER NOT NULL, page INTEGER NOT NULL, vectors BLOB NOT NULL);
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
    """A chunk that was found. `score` is the cosine similarity of the query and the part of it that is nearest."""

    path: str
    chunk: Chunk
    score: float


class Index:
    """Belongs to one thread."""

    def __init__(self, connection: apsw.Connection, size: int) -> None:
        self._connection = connection
        self._vector_bytes = 4 * size

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
        return cls(connection, size)

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

    def stage(self, path: str, document: Document, chunks: Sequence[Chunk], vectors: Sequence[Vectors]) -> None:
        """Keeps a document's passages, each with the vectors of its parts, shape (parts, size), until `publish`."""
        execute = self._connection.execute
        with self._connection:
            execute("DELETE FROM staged_chunks WHERE path = ?", (path,))
            execute(
                "REPLACE INTO staged_documents VALUES (?, ?, ?, ?, ?)",
                (path, document.digest, document.stamp, document.refused, document.passages),
            )
            self._connection.executemany(
                "INSERT INTO staged_chunks (path, heading, text, line, page, vectors) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    (path, chunk.heading, chunk.text, chunk.line, chunk.page, parts.tobytes())
                    for chunk, parts in zip(chunks, vectors, strict=True)
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

    def search(self, query: str, vector: Vectors, limit: int, way: Way = "both") -> list[Passage]:
        """The best passages, best first. `vector` is that of the query."""
        depth = limit * _DEPTH
        matches = self._matches(query, depth) if way != "meaning" else {}
        near = self._nearest(vector, depth) if way != "words" else set()
        similarities = {row: self._similarity(row, vector) for row in near | matches.keys()}
        rows = (
            sorted(matches, key=lambda row: (-matches[row], row)) if way == "words" else ranked(similarities, matches)
        )
        return [self._passage(row, similarities[row]) for row in rows[:limit]]

    def _nearest(self, vector: Vectors, passages: int) -> set[int]:
        """Rows of the passages that have the nearest parts, about so many."""
        neighbours = self._connection.execute(
            "SELECT chunk FROM vectors JOIN parts ON parts.id = vectors.rowid WHERE embedding MATCH ? AND k = ?",
            (vector.tobytes(), min(passages * _PARTS, _MOST_NEIGHBOURS)),
        )
        return {row for (row,) in neighbours}

    def _matches(self, query: str, passages: int) -> dict[int, float]:
        """BM25 of the passages that have the most of the query's words, by row; the higher the better."""
        match = match_of(query)
        if not match:
            return {}
        best = self._connection.execute(
            "SELECT rowid, -rank FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?", (match, passages)
        )
        return dict(best)

    def _similarity(self, row: int, vector: Vectors) -> float:
        parts = self._connection.execute(
            "SELECT 1 - min(vec_distance_cosine(embedding, ?)) FROM parts JOIN vectors ON vectors.rowid = parts.id "
            "WHERE chunk = ?",
            (vector.tobytes(), row),
        )
        return float(next(parts)[0])

    def _passage(self, row: int, score: float) -> Passage:
        path, heading, text, line, page = next(
            self._connection.execute("SELECT path, heading, text, line, page FROM chunks WHERE id = ?", (row,))
        )
        return Passage(path, Chunk(heading, text, line, page), score)

    def _take_over(self, path: str) -> None:
        """Of no document that is served."""
        execute = self._connection.execute
        execute("INSERT INTO documents SELECT * FROM staged_documents WHERE path = ?", (path,))
        rows = execute(
            "SELECT heading, text, line, page, vectors FROM staged_chunks WHERE path = ? ORDER BY id", (path,)
        )
        for heading, text, line, page, vectors in list(rows):
            execute(
                "INSERT INTO chunks (path, heading, text, line, page) VALUES (?, ?, ?, ?, ?)",
                (path, heading, text, line, page),
            )
            row = self._connection.last_insert_rowid()
            execute("INSERT INTO words (rowid, heading, text) VALUES (?, ?, ?)", (row, heading, text))
            for at in range(0, len(vectors), self._vector_bytes):
                execute("INSERT INTO parts (chunk) VALUES (?)", (row,))
                part = self._connection.last_insert_rowid()
                execute(
                    "INSERT INTO vectors (rowid, embedding) VALUES (?, ?)",
                    (part, vectors[at : at + self._vector_bytes]),
                )

    def _forget(self, path: str) -> None:
        self._forget_served(path)
        self._connection.execute("DELETE FROM staged_chunks WHERE path = ?", (path,))
        self._connection.execute("DELETE FROM staged_documents WHERE path = ?", (path,))

    def _forget_served(self, path: str) -> None:
        rows = list(self._connection.execute("SELECT id FROM chunks WHERE path = ?", (path,)))
        parts = [part for row in rows for part in self._connection.execute("SELECT id FROM parts WHERE chunk = ?", row)]
        self._connection.executemany("DELETE FROM words WHERE rowid = ?", rows)
        self._connection.executemany("DELETE FROM vectors WHERE rowid = ?", parts)
        self._connection.executemany("DELETE FROM parts WHERE chunk = ?", rows)
        self._connection.execute("DELETE FROM chunks WHERE path = ?", (path,))
        self._connection.execute("DELETE FROM documents WHERE path = ?", (path,))


def _prepare(connection: apsw.Connection) -> None:
    connection.set_busy_timeout(2000)
    connection.enable_load_extension(True)
    connection.load_extension(sqlite_vec.loadable_path())
    connection.enable_load_extension(False)
    connection.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")
