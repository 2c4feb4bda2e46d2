"""What calls tell whoever looks after the readiness."""

import asyncio

from milepost_model.remote.failures import ServerError

_NOT_FOR_US = frozenset((401, 403, 404))


class Doubt:
    """Raised by a call that failed as if the server were not there, or had no model for us."""

    def __init__(self) -> None:
        self._raised = asyncio.Event()
        self._needs_proof = False

    def consider(self, error: ServerError) -> None:
        """Raises doubt where the failure gives reason to."""
        is_refused = error.status in _NOT_FOR_US
        self._needs_proof = self._needs_proof or is_refused
        if is_refused or error.code == "UNAVAILABLE":
            self._raised.set()

    async def raised(self, seconds: float) -> bool:
        """Lasts for so long or until there is doubt, which it takes away.

        True when it is no proof that the server can be reached: it was reached, and refused.
        """
        try:
            await asyncio.wait_for(self._raised.wait(), seconds)
        except TimeoutError:
            return False
        needs_proof, self._needs_proof = self._needs_proof, False
        self._raised.clear()
        return needs_proof
