"""How far the download of a process is: for its log, its metrics, and whoever calls it before it serves."""

import logging
import time

from milepost_service.models.progress import Transfer

LOG_SECONDS = 10.0

_log = logging.getLogger(__name__)


class DownloadStatus:
    """Told on the thread that downloads, read on any."""

    def __init__(self) -> None:
        self.transfer: Transfer | None = None
        """The newest; None before the first, as where nothing is fetched."""
        self._logged = float("-inf")

    def watch(self, transfer: Transfer) -> None:
        """Keeps what is told, and logs it now and then."""
        self.transfer = transfer
        now = time.monotonic()
        if now - self._logged >= LOG_SECONDS:
            self._logged = now
            _log.info("%s", transfer)

    def say(self, line: str) -> None:
        """Logs a line."""
        _log.info("%s", line)

    def doing(self) -> str:
        """What is being fetched, in one line; "" where nothing is."""
        transfer = self.transfer
        return str(transfer) if transfer is not None and transfer.done < transfer.total else ""
