"""`POST /v1/embeddings`."""

import asyncio
import base64
from collections.abc import Sequence

import numpy as np
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from milepost_model.http.errors import ApiError, refusal
from milepost_model.http.parameters import EmbeddingRequest
from milepost_model.http.served import Served
from milepost_model.http.stream import until_gone
from milepost_model.results import Embeddings
from milepost_model.spans import model_span, tell_embeddings
from milepost_service.errors import ServiceError
from milepost_service.servicer import check_prompt
from milepost_service.telemetry.conventions import Operations


async def embed(served: Served, http: HttpRequest, wish: EmbeddingRequest) -> Response:
    """Vectors in the order of the texts. Raises ApiError or ServiceError."""
    engine = served.engine
    if wish.dimensions not in (None, engine.embedding_size):
        message = f"dimensions: is {wish.dimensions}; allowed: {engine.embedding_size}, or none"
        raise ApiError(400, message, code="invalid_value", param="dimensions")
    try:
        for text in wish.input:
            check_prompt(text, "input")
    except ServiceError as error:
        raise refusal(error, "input") from None
    with model_span(Operations.EMBEDDINGS, engine.weights.name) as span:
        made: Embeddings = await until_gone(http.receive, engine.embed(wish.input))
        tell_embeddings(span, made)
    return await asyncio.to_thread(_response, served, wish, made)


def _response(served: Served, wish: EmbeddingRequest, made: Embeddings) -> Response:
    data = [
        {"object": "embedding", "index": index, "embedding": _written(vector, wish)}
        for index, vector in enumerate(made.vectors)
    ]
    usage = {"prompt_tokens": made.tokens, "total_tokens": made.tokens}
    return JSONResponse({"object": "list", "data": data, "model": served.name, "usage": usage})


def _written(vector: Sequence[float], wish: EmbeddingRequest) -> Sequence[float] | str:
    if wish.encoding_format == "float":
        return vector
    return base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode()
