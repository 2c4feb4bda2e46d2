"""What the operator cannot start without: it says so, waits, and begins when it is there."""

from __future__ import annotations

import json
import time

import pytest

from e2e_waiting import eventually
from operator_process import START_SECONDS
from operator_proxy import Fault
from operator_world import MARKS, World

OBSERVED_SECONDS = 6.0
READS = frozenset({"GET"})

pytestmark = MARKS


def test_an_api_server_that_is_down_at_the_start_is_waited_for(here: World) -> None:
    here.proxy.down()
    with here.operator() as process:
        eventually(
            "it says that it waits", lambda: process.messages("^Waiting: .*does not answer"), len, within=START_SECONDS
        )
        assert process.ask("healthz") == 200
        assert process.ask("readyz") == 503
        time.sleep(OBSERVED_SECONDS)
        assert len(process.messages("^Waiting")) <= 5
        here.proxy.up()
        process.wait_ready()
        assert not [line for line in process.lines() if "exception" in line]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Fault("^/apis/milepost.dev$", READS, 404, "NotFound"), "install the CustomResourceDefinitions"),
        (
            Fault(
                "^/apis/milepost.dev$",
                READS,
                200,
                body=json.dumps({"versions": [{"version": "v1beta1"}]}).encode(),
            ),
            "serves milepost.dev/v1beta1, and this operator needs milepost.dev/v1alpha1",
        ),
        (
            Fault(r"/poddisruptionbudgets\?", READS, 403, "Forbidden", 'cannot list resource "poddisruptionbudgets"'),
            'cannot list resource "poddisruptionbudgets"',
        ),
    ],
    ids=["no-definitions", "another-version", "may-not-list"],
)
def test_what_it_cannot_start_without_is_named_and_waited_for(
    answer: Fault, words: str, here: World, request: pytest.FixtureRequest
) -> None:
    with here.proxy.failing(answer):
        process = here.operator()
        # Ended even if it says something else: a second one at work would spoil what follows.
        request.addfinalizer(process.stop)
        process.start()
        eventually("it says what it misses", lambda: process.messages("^Waiting: "), len, within=START_SECONDS)
        assert words in process.messages("^Waiting: ")[0]
        assert process.ask("readyz") == 503
    process.wait_ready()
    assert process.stop() == 0
