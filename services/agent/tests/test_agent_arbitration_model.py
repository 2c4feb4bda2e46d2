"""The arbitrator with the real small model: no worse than following the router, and deaf to control tokens."""

from pathlib import Path

import grpc
import pytest

from bench_arbitrator import DEFAULT_WEIGHT, TEST_SET, decide, judge
from milepost.model.v1 import model_pb2_grpc
from milepost_agent.evaluation.queries import one_service_a_tag, read_queries
from milepost_model.chat import ChatTemplate, Turn
from milepost_model.weights import Weights
from milepost_service.models import default_cache_dir, ensure_model
from milepost_service.resource import load_model_service
from milepost_service.testing import ServiceProcess
from test_agent_arbitration_prompt import INJECTIONS, question

pytestmark = pytest.mark.models


@pytest.mark.requirement("ARB-1", "RTR-3")
@pytest.mark.timeout(1200)
def test_at_the_default_weight_the_small_model_does_no_harm_on_the_test_set(model_service: ServiceProcess) -> None:
    """By how many it is right, and by log loss, which tells of every query; the bare likelihood fails the second."""
    with grpc.insecure_channel(model_service.target) as channel:
        judged = judge(read_queries(TEST_SET, one_service_a_tag()), model_pb2_grpc.ModelServiceStub(channel))
    router, arbitrated = decide(judged, 0.0), decide(judged, DEFAULT_WEIGHT)
    bare = decide([each.bare() for each in judged], DEFAULT_WEIGHT)
    print(f"router {router}\narbitrated {arbitrated}\nby bare likelihood {bare}")
    assert sum(bool(each.scores) for each in judged) >= 5, "the model was heard"
    assert arbitrated.right >= router.right
    assert arbitrated.log_loss <= router.log_loss
    assert arbitrated.log_loss < bare.log_loss


@pytest.mark.requirement("ARB-1")
def test_a_query_cannot_end_the_turn_of_the_user(smollm2_file: Path) -> None:
    spec = load_model_service(smollm2_file, engine="llamaCpp").spec.llama_cpp
    assert spec is not None
    weights = Weights(ensure_model(spec, default_cache_dir()))
    template = ChatTemplate(weights)
    control = {weights.tokens_of(text, begin=False, control=True)[0] for text in weights.control_texts}

    def control_tokens(text: str) -> list[int]:
        chat = question(text, text, text).request().chat
        tokens = template.tokens_of([Turn(message.role, message.content) for message in chat.messages])
        return [token for token in tokens if token in control]

    plain = control_tokens("Fix it.")
    assert len(plain) == 5, "two turns with begin and end, and the beginning of the answer"
    assert [control_tokens(text) for text in INJECTIONS] == [plain] * len(INJECTIONS)
    weights.close()
