"""What a process does for its model's file: for its log, its metrics, and whoever calls it before it serves."""

import logging
import time

from milepost_service.models.progress import Transfer

LOG_SECONDS = 10.0

_log = logging.getLogger(__name__)


class DownloadStatus:
    """Told on the thread that prepares the file, read on any."""

    def __init__(self) -> None:
        self.transfer: Transfer | None = None
        """The newest; None before the first, as where nothing is fetched."""
        self._latest = ""
        self._logged = float("-inf")

    def watch(self, transfer: Transfer) -> None:
        """Keeps what is told, and logs it now and then."""
        self.transfer, self._latest = transfer, str(transfer)
        now = time.monotonic()
        if now - self._logged >= LOG_SECONDS:
            self._logged = now
            _log.info("%s", transfer)

    def say(self, line: str) -> None:
        """Keeps a line, and logs it."""
        self._latest = line
        _log.info("%s", line)

    def end(self) -> None:
        """The file is there."""
        self._latest = ""

    def doing(self) -> str:
        """What is being done, in one line; "" where nothing is."""
        return self._latest
