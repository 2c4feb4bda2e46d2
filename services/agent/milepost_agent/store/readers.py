"""Readers: read-only connections, most in threads of their own; no query waits for the writer or holds it up."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import apsw

from milepost_agent.errors import StoreClosed

Result = TypeVar("Result")

READERS: Final = 2
BUSY_MILLISECONDS: Final = 5_000


class Readers:
    """Runs queries on one of `READERS` connections; each sees everything that was committed before it began."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pool = _Pool(path)
        self._own: apsw.Connection | None = None
        self._closed = False
        self.apart = ThreadReader(path)

    async def read(self, query: Callable[[apsw.Connection], Result]) -> Result:
        """The result of a query, which must fetch all that it needs before it returns.

        Raises:
            StoreClosed: the store was closed.
        """
        if self._closed:
            raise StoreClosed(f"{self._path}: the store is closed")
        return await self._pool.run(query)

    def look_up(self, query: Callable[[apsw.Connection], Result]) -> Result:
        """The result of a query that finds a few rows by a key, at once and on the loop.

        It takes some 30 microseconds. To hand it to a thread takes longer than that, and while the loop is busy the
        thread waits up to 5 milliseconds for the interpreter's lock, for each row.

        Raises:
            StoreClosed: the store was closed.
        """
        if self._closed:
            raise StoreClosed(f"{self._path}: the store is closed")
        if self._own is None:
            self._own = _connect(self._path)
        with self._own:  # one state of the file for all statements of the query
            result = query(self._own)
        return result

    async def reopen(self) -> None:
        """Opens new connections to the file for the queries from now on, and closes the ones before."""
        old, self._pool = self._pool, _Pool(self._path)
        self._close_own()
        self._closed = False
        self.apart.reopen()
        await old.close()

    async def close(self) -> None:
        self._closed = True
        self._close_own()
        await asyncio.to_thread(self.apart.close)
        await self._pool.close()

    def _close_own(self) -> None:
        own, self._own = self._own, None
        if own is not None:
            own.close()


class ThreadReader:
    """A connection for a thread that is not the loop's, opened when it is first used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: apsw.Connection | None = None
        self._closed = False

    def read(self, query: Callable[[apsw.Connection], Result]) -> Result:
        """The result of a query that must be short: the store cannot be closed meanwhile.

        Raises:
            StoreClosed: the store is closed, or its file is being replaced.
        """
        with self._lock:
            if self._closed:
                raise StoreClosed(f"{self._path}: the store is closed")
            if self._connection is None:
                self._connection = _connect(self._path)
            with self._connection:
                result = query(self._connection)
            return result

    def reopen(self) -> None:
        """Has the next query open the file anew."""
        with self._lock:
            self._closed = False
            self._drop()

    def close(self) -> None:
        """Refuses queries until `reopen`."""
        with self._lock:
            self._closed = True
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class _Pool:
    """Connections that each belong to a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._connections: list[apsw.Connection] = []
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader", initializer=self._connect)

    async def run(self, query: Callable[[apsw.Connection], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._query, query)

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)
        for connection in self._connections:
            connection.close()

    def _connect(self) -> None:
        connection = self._local.connection = _connect(self._path)
        self._connections.append(connection)

    def _query(self, query: Callable[[apsw.Connection], Result]) -> Result:
        connection: apsw.Connection = self._local.connection
        with connection:  # one state of the file for all statements of the query
            result = query(connection)
        return result


def _connect(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    return connection
