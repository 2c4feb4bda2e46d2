"""An ordinary client of the OpenAI API of a model in the cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import openai

from e2e_cluster import ready_pods
from e2e_story import Story
from e2e_tunnel import Tunnel

PORT = 8000


@contextmanager
def openai_client(story: Story, service: str) -> Iterator[openai.OpenAI]:
    """The official client, whose connections the API server carries to a pod of the service."""
    tunnel = Tunnel(story.namespace, lambda: str(ready_pods(story.pods(service))[0]["metadata"]["name"]), PORT)
    transport = httpx2.HTTPTransport(uds=tunnel.target.removeprefix("unix:"), retries=3)
    try:
        with (
            httpx2.Client(transport=transport, timeout=120) as http,
            openai.OpenAI(base_url="http://model/v1", api_key="none is asked for", http_client=http) as client,
        ):
            yield client
    finally:
        tunnel.close()
