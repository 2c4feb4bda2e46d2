"""Plays kill points one after the other, with services of its own."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import matrix_power
from matrix_agent import Agent, PointFailed
from matrix_client import Client
from matrix_memory import MemoryLimit
from matrix_points import KillPoint, Series
from matrix_scenarios import POWER, SCENARIOS, Scenario
from matrix_service_kills import service_kills
from matrix_services import Service, Services
from matrix_verify import Verdict, verify
from matrix_zygote import Commands, Zygote

ARTIFACTS = Path(__file__).resolve().parents[2] / "artifacts" / "kill-matrix"
POINTS_PER_SERVICES = 60
"""Then the services are started anew, so that their lists of calls stay short."""


@dataclass(frozen=True)
class Result:
    point: KillPoint
    verdict: Verdict


@dataclass
class Worker:
    """Everything that one thread of the matrix needs."""

    zygote: Zygote
    folder: Path
    limit: MemoryLimit | None = None
    services: dict[bool, Services] = field(default_factory=dict)
    """With and without a memory of calls."""
    played: int = 0

    def play(self, series: Series) -> Iterator[Result]:
        """The kill points of a series, until its failpoint is not passed any more or one of them failed."""
        if series.kind == "power":
            yield from self._play_power(series)
            return
        scenario = scenario_of(series)
        for point in series.points():
            verdict = self._play_point(scenario, point)
            if verdict is None:
                return
            yield Result(point, verdict)
            if not verdict.resumed or series.once:
                return

    def close(self) -> None:
        """Ends the services and takes back what was made."""
        for services in self.services.values():
            services.stop()
        if self.limit:
            self.limit.remove()

    def _play_point(self, scenario: Scenario, point: KillPoint) -> Verdict | None:
        """What came of a kill point; None when its failpoint was not passed so often."""
        folder = Path(tempfile.mkdtemp(prefix="point-", dir=self.folder))
        launcher = Commands() if point.kind == "command" else self.zygote
        if point.kind == "memory" and self.limit is None:
            self.limit = MemoryLimit.make(self.folder.name)
        agent = Agent(launcher, folder, self._services(point), scenario.workflow, point.plan, limit=self.limit)
        client = Client(agent)
        try:
            scenario.play(client)
            verdict = verify(scenario, client, memory=point.memory)
            reached = agent.died_as_planned()
        except (PointFailed, TimeoutError) as error:
            verdict, reached = Verdict(lost=client.unended(), problem=str(error)), True
        finally:
            agent.abandon()
        self._leave(point, folder, verdict)
        return verdict if reached else None

    def _play_power(self, series: Series) -> Iterator[Result]:
        """One run that is recorded, then one kill point for each power cut in it."""
        services = self._renewed(True)
        folder = Path(tempfile.mkdtemp(prefix="record-", dir=self.folder))
        agent = Agent(self.zygote, folder, services, POWER.workflow, (), recording=folder)
        before = matrix_power.Marks(agent, prompt=POWER.prompt)
        point = KillPoint(series.scenario, series.failpoint, matrix_power.NOTHING, 0, (), series.memory, series.kind)
        try:
            entries = matrix_power.record(before, POWER)
        except PointFailed as error:
            verdict = Verdict(problem=str(error))
            self._leave(point, folder, verdict)
            yield Result(point, verdict)
            return
        finally:
            agent.abandon()
        for number, cut in enumerate(matrix_power.cuts(entries), 1):
            at = replace(point, how=cut.how, passage=number)
            verdict = self._play_cut(at, cut, before)
            yield Result(at, verdict)

    def _play_cut(self, point: KillPoint, cut: matrix_power.Cut, before: matrix_power.Marks) -> Verdict:
        folder = Path(tempfile.mkdtemp(prefix="cut-", dir=self.folder))
        client = Client(Agent(self.zygote, folder, before.agent.services, POWER.workflow, ()))
        try:
            verdict = matrix_power.play_cut(client, cut, before, POWER)
        except PointFailed as error:
            verdict = Verdict(lost=client.unended(), problem=str(error))
        finally:
            client.agent.abandon()
        self._leave(point, folder, verdict)
        return verdict

    def _leave(self, point: KillPoint, folder: Path, verdict: Verdict) -> None:
        """Removes what a kill point made; when it failed, its database, log and workflow are kept as evidence."""
        if not verdict.resumed:
            target = ARTIFACTS / point.name.replace(" ", "_").replace(",", "")
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(folder, target)
            (target / "verdict.txt").write_text(f"{point}\n{verdict}\n")
        shutil.rmtree(folder)

    def _services(self, point: KillPoint) -> Services:
        self.played += 1
        services = self.services.get(point.memory)
        if services is None or services.damaged or self.played % POINTS_PER_SERVICES == 0:
            return self._renewed(point.memory)
        return services

    def _renewed(self, memory: bool) -> Services:
        if services := self.services.get(memory):
            services.stop()
        environment = {"SCRIPTED_REJECTIONS": "1"} | ({} if memory else {"SCRIPTED_KEPT": "0"})
        kinds = {"worker": ("rag", "coding", "review"), "second": ("coding",)}
        services = Services([Service(self.zygote, self.folder, *kind, environment) for kind in kinds.items()])
        services.start()
        self.services[memory] = services
        return services


STORIES = {scenario.name: scenario for scenario, _, _ in service_kills()}


def scenario_of(series: Series) -> Scenario:
    return STORIES.get(series.scenario) or SCENARIOS[series.scenario]
