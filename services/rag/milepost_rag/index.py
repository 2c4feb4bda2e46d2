"""The passages on disk, found by meaning and by word.

One SQLite file: sqlite-vec for vectors, FTS5 for words, and the passages themselves. sqlite-vec is one small
extension with no server and no dependency, exact (no tuning, no recall to lose) and fast at the sizes that fit one
process: a few milliseconds over 10,000 passages. apsw brings a current SQLite that can load it; the one in Python's
own sqlite3 often cannot load extensions.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import apsw
import sqlite_vec

from milepost_rag.chunks import Chunk
from milepost_rag.embedder import Vectors
from milepost_rag.errors import IndexUnusableError
from milepost_service.errors import ConfigurationError

_VERSION = "1"
_FUSION = 60  # of reciprocal rank fusion; how much the first places count over the next
_WORD = re.compile(r"\w+")
# In a small collection these are as rare as any word, and would decide what is found.
_EMPTY_WORDS = frozenset(
    _WORD.findall(
        "a an and are as at be been but by can could did do does for from had has have he her his how i if in is it "
        "its me my no not of on or our she should so some than that the their them there these they this those to us "
        "was we were what when where which who whom whose why will with would you your"
    )
)
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (path TEXT PRIMARY KEY, digest TEXT NOT NULL, stamp TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE chunks (id INTEGER PRIMARY KEY, path TEXT NOT NULL, heading TEXT NOT NULL, line INTEGER NOT NULL,
                     text TEXT NOT NULL);
CREATE INDEX chunks_by_path ON chunks (path);
CREATE VIRTUAL TABLE words USING fts5(text, content='', contentless_delete=1, tokenize='porter unicode61');
CREATE VIRTUAL TABLE vectors USING vec0(embedding FLOAT[{size}] distance_metric=cosine);
"""


@dataclass(frozen=True)
class Document:
    """A file as it was indexed: SHA-256 of its content, and a stamp (size and time) that says "look again"."""

    digest: str
    stamp: str


@dataclass(frozen=True)
class Passage:
    """A chunk that was found. `score` is the cosine similarity to the query."""

    path: str
    chunk: Chunk
    score: float


class Index:
    """Belongs to one thread. Each document is replaced in one transaction."""

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

    def documents(self) -> Mapping[str, Document]:
        rows = self._connection.execute("SELECT path, digest, stamp FROM documents")
        return {path: Document(digest, stamp) for path, digest, stamp in rows}

    def count(self) -> int:
        """Number of passages."""
        return int(next(self._connection.execute("SELECT count(*) FROM chunks"))[0])

    def replace(self, path: str, document: Document, chunks: Sequence[Chunk], vectors: Vectors) -> None:
        """Puts a document's passages in place of those it had."""
        execute = self._connection.execute
        with self._connection:
            self._forget(path)
            execute("INSERT INTO documents VALUES (?, ?, ?)", (path, document.digest, document.stamp))
            for chunk, vector in zip(chunks, vectors, strict=True):
                execute(
                    "INSERT INTO chunks (path, heading, line, text) VALUES (?, ?, ?, ?)",
                    (path, chunk.heading, chunk.line, chunk.text),
                )
                row = self._connection.last_insert_rowid()
                execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (row, chunk.searchable))
                execute("INSERT INTO vectors (rowid, embedding) VALUES (?, ?)", (row, vector.tobytes()))

    def touch(self, path: str, stamp: str) -> None:
        """The file was looked at again and says the same."""
        self._connection.execute("UPDATE documents SET stamp = ? WHERE path = ?", (stamp, path))

    def remove(self, path: str) -> None:
        """Forgets a document and its passages."""
        with self._connection:
            self._forget(path)

    def search(self, query: str, vector: Vectors, limit: int) -> list[Passage]:
        """The best passages, best first: nearest in meaning and best in words, fused by their ranks."""
        depth = limit * 4
        by_meaning = self._connection.execute(
            "SELECT rowid FROM vectors WHERE embedding MATCH ? AND k = ? ORDER BY distance",
            (vector.tobytes(), depth),
        )
        ranks: dict[int, float] = {}
        for found in (by_meaning, self._by_words(query, depth)):
            for place, (row,) in enumerate(found):
                ranks[row] = ranks.get(row, 0.0) + 1 / (_FUSION + place)
        best = sorted(ranks, key=lambda row: (-ranks[row], row))[:limit]
        return [self._passage(row, vector) for row in best]

    def _by_words(self, query: str, depth: int) -> Sequence[tuple[int]]:
        words = dict.fromkeys(word.lower() for word in _WORD.findall(query)[:64]).keys() - _EMPTY_WORDS
        if not words:
            return []
        match = " OR ".join(f'"{word}"' for word in words)
        return list(
            self._connection.execute(
                "SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?", (match, depth)
            )
        )

    def _passage(self, row: int, vector: Vectors) -> Passage:
        path, heading, line, text, distance = next(
            self._connection.execute(
                "SELECT path, heading, line, text, vec_distance_cosine(vectors.embedding, ?) FROM chunks "
                "JOIN vectors ON vectors.rowid = chunks.id WHERE chunks.id = ?",
                (vector.tobytes(), row),
            )
        )
        return Passage(path, Chunk(heading, line, text), 1 - distance)

    def _forget(self, path: str) -> None:
        execute = self._connection.execute
        rows = list(execute("SELECT id FROM chunks WHERE path = ?", (path,)))
        self._connection.executemany("DELETE FROM words WHERE rowid = ?", rows)
        self._connection.executemany("DELETE FROM vectors WHERE rowid = ?", rows)
        execute("DELETE FROM chunks WHERE path = ?", (path,))
        execute("DELETE FROM documents WHERE path = ?", (path,))


def _prepare(connection: apsw.Connection) -> None:
    connection.set_busy_timeout(2000)
    connection.enable_load_extension(True)
    connection.load_extension(sqlite_vec.loadable_path())
    connection.enable_load_extension(False)
    connection.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")
