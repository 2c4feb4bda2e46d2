"""Whatever happens to services, in whatever order: who is ready, and so recommended, is who ought to be."""

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from milepost_agent.nodes.recommend import candidate
from milepost_agent.registry import Entry, Registry, ServiceUsage
from milepost_agent.router import Router
from milepost_service.errors import AlreadyExistsError

NAMES = st.sampled_from(("a", "b", "c", "d"))
TARGETS = st.sampled_from(("127.0.0.1:1", "127.0.0.1:2"))
TAGS = ("coding", "rag", "painting")
TAG_SETS = st.sets(st.sampled_from(TAGS)).map(lambda tags: tuple(sorted(tags)))
ROUTER = Router.load(None)


@dataclass
class Known:
    """What a service is to the model: plain facts, no index."""

    target: str
    tags: tuple[str, ...]
    expires: float
    healthy: bool = False


class Services(RuleBasedStateMachine):
    """The registry beside a model that looks through everything each time."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 100.0
        self.registry = Registry(lambda: self.time)
        self.model: dict[str, Known] = {}

    def _add(self, name: str, known: Known) -> None:
        before = self.model.get(name)
        known.healthy = bool(before and before.target == known.target and before.healthy)
        self.model[name] = known

    @rule(name=NAMES, at=TARGETS, tags=TAG_SETS, lease=st.sampled_from((2.0, 15.0, 60.0)))
    def register(self, name: str, at: str, tags: tuple[str, ...], lease: float) -> None:
        entry = Entry(name, at, tags, f"does {name}")
        if name in self.model and not self.model[name].expires:
            with pytest.raises(AlreadyExistsError):
                self.registry.register(entry, lease)
        else:
            self.registry.register(entry, lease)
            self._add(name, Known(at, tags, self.time + lease))

    @rule(name=NAMES, at=TARGETS, tags=TAG_SETS)
    def adopt(self, name: str, at: str, tags: tuple[str, ...]) -> None:
        self.registry.adopt(Entry(name, at, tags, f"does {name}"))
        self._add(name, Known(at, tags, 0.0))

    @rule(name=NAMES, at=TARGETS, healthy=st.booleans())
    def check(self, name: str, at: str, healthy: bool) -> None:
        self.registry.set_health(name, at, healthy)
        if name in self.model and self.model[name].target == at:
            self.model[name].healthy = healthy

    @rule(name=NAMES, at=TARGETS, calls=st.integers(0, 3))
    def use(self, name: str, at: str, calls: int) -> None:
        self.registry.set_usage(name, at, ServiceUsage(active_calls=calls))

    @rule(seconds=st.sampled_from((1.0, 5.0, 20.0)))
    def wait(self, seconds: float) -> None:
        self.time += seconds
        self.registry.expire()
        self.model = {name: each for name, each in self.model.items() if not 0 < each.expires < self.time}

    @rule(name=NAMES, at=TARGETS)
    def deregister(self, name: str, at: str) -> None:
        self.registry.deregister(name, at)
        if name in self.model and self.model[name].expires and self.model[name].target == at:
            del self.model[name]

    @rule()
    def restart(self) -> None:
        """The process goes on from what it stored: nobody is ready, and who registered has one lease to come back."""
        rows = self.registry.rows()
        self.registry = Registry(lambda: self.time)
        self.registry.restore(rows, keep_adopted=True)
        for each in self.model.values():
            each.healthy = False
            each.expires = self.time + 15 if each.expires else 0.0

    @invariant()
    def those_are_ready_that_ought_to_be(self) -> None:
        assert [each.name for each in self.registry.entries()] == sorted(self.model)
        for tag in ("", *TAGS):
            wanted = [name for name in sorted(self.model) if self._fits(name, tag)]
            assert [each.name for each in self.registry.ready(tag)] == wanted
            for name in "abcd":
                assert [each.name for each in self.registry.ready(tag, name)] == [name] * (name in wanted)

    @invariant()
    def nobody_else_is_recommended(self) -> None:
        ready = [candidate(entry) for entry in self.registry.ready()]
        for tag in TAGS:
            answer = ROUTER.recommend("Write a function, paint a cat, look it up in the handbook", ready, tag)
            named = {service.service for service in answer.services}
            assert all(self._fits(name, tag) for name in named)
            assert bool(named) == any(self._fits(name, tag) for name in self.model)

    def _fits(self, name: str, tag: str) -> bool:
        known = self.model[name]
        return known.healthy and (not tag or tag in known.tags)


Services.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestServices = pytest.mark.requirement("RTR-2", "REG-1")(Services.TestCase)
