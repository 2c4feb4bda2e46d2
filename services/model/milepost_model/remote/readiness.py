"""Whether the server is there and has the model: looked at again and again, and at once when a call says otherwise."""

import asyncio
import logging

from milepost_model.remote.answers import Chat, ListedModel, Models, Vectors
from milepost_model.remote.asking import CHAT, EMBEDDINGS
from milepost_model.remote.engine import RemoteEngine
from milepost_model.remote.failures import ServerError
from milepost_service.errors import ServiceError
from milepost_service.server import SayReady

READY_SECONDS = 15.0
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 15.0
LOOK_SECONDS = 20.0
_MODELS = "/models"
_PROOF_TOKENS = 16
_NO_LIST = frozenset((404, 405, 410, 501))
_NO_CHAT = frozenset((400, 404, 405, 410, 422, 501))
_SHOWN = 5
_log = logging.getLogger(__name__)


class Readiness:
    """Ready while the server lists the model. Where it does not, and after it refused a call, it must answer once."""

    def __init__(self, engine: RemoteEngine, *, ready_seconds: float = READY_SECONDS) -> None:
        self.problem = "the server was not asked yet"
        """Why it is not ready; empty while it is."""
        self._engine = engine
        self._server = engine.asking.server
        self._ready_seconds = ready_seconds
        self._has_answered = False
        self._needs_proof = False

    async def attend(self, say: SayReady) -> None:
        """Says whether the service is ready, until it is cancelled."""
        pause = FIRST_PAUSE
        while True:
            problem = await self._look()
            if problem != self.problem:
                _log.log(logging.WARNING if problem else logging.INFO, "%s", problem or f"{self._server.name} is ready")
                self.problem = problem
            await say(ready=not problem)
            pause = min(pause * 2, LONGEST_PAUSE) if problem else FIRST_PAUSE
            needs_proof = await self._engine.asking.doubt.raised(pause if problem else self._ready_seconds)
            self._needs_proof = self._needs_proof or needs_proof

    async def _look(self) -> str:
        """What is wrong, in one line; empty when nothing is."""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._find()
        except TimeoutError:
            return f"{self._server.name} does not answer within {LOOK_SECONDS:g} s"
        except ServiceError as error:
            self._has_answered = False
            return str(error)
        self._needs_proof = False
        return ""

    async def _find(self) -> None:
        """Raises ServiceError unless the server has the model."""
        try:
            listed = (await self._engine.client.get(_MODELS, Models)).data
        except ServerError as error:
            if error.status not in _NO_LIST:
                raise
            listed = None
        model = next((each for each in listed or () if each.id == self._engine.model), None)
        if model is not None:
            self._engine.learn_context(model.context_tokens)
        if self._needs_proof or (model is None and not self._has_answered):
            await self._prove(listed)
            self._has_answered = True

    async def _prove(self, listed: list[ListedModel] | None) -> None:
        """Has the model answer. A server may know it by another name than it lists."""
        try:
            await self._answer()
        except ServerError as error:
            if error.status != 404 or not listed:
                raise
            names = ", ".join(model.id for model in listed[:_SHOWN])
            raise self._server.misses_model(names) from None

    async def _answer(self) -> None:
        """A short chat; where there is none, an embedding."""
        client, dialect = self._engine.client, self._engine.asking.dialect
        body = {"model": self._engine.model, "messages": [{"role": "user", "content": "Ready?"}]}
        while True:
            written = dialect.written(body, max_tokens=_PROOF_TOKENS)
            try:
                await client.post_once(CHAT, written, Chat)
                return
            except ServerError as error:
                if dialect.learn(error, written):
                    continue
                if error.status not in _NO_CHAT:
                    raise
                refusal = error
                break
        try:
            vectors = await client.post_once(EMBEDDINGS, {"model": self._engine.model, "input": ["Ready?"]}, Vectors)
        except ServerError:
            raise refusal from None
        self._engine.embedding_size = len(vectors.data[0].embedding) if vectors.data else 0
