"""A busy neighbour of the router: generates text without end on one thread, as the model service does.

Prints one line when it has begun, and ends with its standard input, after a line with its tokens a second.
"""

import asyncio
import json
import sys
import time
from contextlib import aclosing
from pathlib import Path

from milepost_crds import ModelService, load_manifests
from milepost_model.engine import Engine
from milepost_model.sampling import Sampling
from milepost_service.models import default_cache_dir, ensure_model

MANIFEST = Path(__file__).parents[1] / "examples" / "review-loop" / "models.yaml"
CONTEXT_TOKENS = 1024
PROMPT = "A short history of the bridges of a small town, told by the people who built them:"


def model_file() -> Path:
    """The model of the example, SmolLM2."""
    services = [each.resource for each in load_manifests([MANIFEST]) if isinstance(each.resource, ModelService)]
    return ensure_model(next(each.spec.llama_cpp for each in services if each.spec.llama_cpp), default_cache_dir())


async def generate() -> None:
    engine = Engine(queue_size=1)
    await engine.load(model_file(), context_tokens=CONTEXT_TOKENS, threads=1, embeddings=False)
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    print("generating", flush=True)
    begun = time.monotonic()
    while not ended.done():
        async with aclosing(engine.generate(engine.raw_tokens(PROMPT), Sampling(max_tokens=CONTEXT_TOKENS))) as parts:
            async for _ in parts:
                if ended.done():
                    break
    print(json.dumps({"tokens_per_second": engine.generated_tokens / (time.monotonic() - begun)}), flush=True)
    engine.close()


if __name__ == "__main__":
    asyncio.run(generate())
