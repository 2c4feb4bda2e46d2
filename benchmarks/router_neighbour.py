"""A busy neighbour of the router: generates text without end on one thread, as the model service does.

Prints one line when it has begun, and ends with its standard input, after a line with its tokens a second.
"""

import json
import sys
import threading
import time
from pathlib import Path

from milepost_crds import ModelService, load_manifests
from milepost_model.context import Context
from milepost_model.weights import Weights
from milepost_service.models import default_cache_dir, ensure_model

MANIFEST = Path(__file__).parents[1] / "examples" / "review-loop" / "models.yaml"
CONTEXT_TOKENS = 1024
PROMPT = "A short history of the bridges of a small town, told by the people who built them:"


def model_file() -> Path:
    """The model of the example, SmolLM2."""
    services = [each.resource for each in load_manifests([MANIFEST]) if isinstance(each.resource, ModelService)]
    return ensure_model(next(each.spec.llama_cpp for each in services if each.spec.llama_cpp), default_cache_dir())


def never() -> bool:
    return False


def watch_input(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


def main() -> None:
    weights = Weights(model_file())
    context = Context(weights, context_tokens=CONTEXT_TOKENS, threads=1)
    prompt = weights.tokens_of(PROMPT, begin=True, control=False)
    ended = threading.Event()
    threading.Thread(target=watch_input, args=(ended,), daemon=True).start()
    context.prefill(prompt, never)
    print("generating", flush=True)
    begun, made = time.monotonic(), 0
    while not ended.is_set():
        if len(context.tokens) == CONTEXT_TOKENS:
            context.prefill(prompt, never)
        context.extend([int(context.logits().argmax())])
        made += 1
    print(json.dumps({"tokens_per_second": made / (time.monotonic() - begun)}), flush=True)
    context.close()
    weights.close()


if __name__ == "__main__":
    main()
