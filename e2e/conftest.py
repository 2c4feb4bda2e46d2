"""Fixtures of the stories on a cluster, and what a failing one leaves behind."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from e2e_chaos import Chaos
from e2e_cluster import Cluster
from e2e_definitions import Definitions
from e2e_evidence import collect, namespaces_of_interest
from e2e_install import Installation
from e2e_story import Story
from e2e_table import Table, tell_title
from operator_process import OperatorProcess
from operator_world import World, world

EVIDENCE = Path(__file__).resolve().parent.parent / "artifacts" / "e2e"
STORY_SECONDS = 900
PART = "MILEPOST_E2E_PART"
"""Names the tests to run: `bare`, which need no images, or `with-images`; `make e2e` runs both."""
SHARED = pytest.StashKey[ExitStack]()
NAMESPACES = pytest.StashKey[list[str]]()
FAILED = pytest.StashKey[bool]()
INSTALLED = ("installation", "story", "make_story")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[NAMESPACES] = []
    if not _is_worker(config):
        config.pluginmanager.register(Table.asked_for())


def pytest_sessionstart(session: pytest.Session) -> None:
    """Workers share the CRDs: they are there before the first worker, until the last has ended."""
    if _has_workers(session.config) and "KUBECONFIG" in os.environ:
        _allow_no_certificate()
        opened = session.config.stash[SHARED] = ExitStack()
        definitions = Definitions(opened.enter_context(Cluster(os.environ["KUBECONFIG"])))
        opened.callback(definitions.take_back)
        definitions.make()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if SHARED in session.config.stash:
        _allow_no_certificate()
        session.config.stash[SHARED].close()


def _allow_no_certificate() -> None:
    """A throw-away cluster may have none; outside of tests no mark says that this is no error."""
    warnings.filterwarnings("ignore", "Unverified HTTPS request")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What brings its own operator, or none, runs before Milepost is installed; each story has minutes."""
    here = [item for item in items if item.path.parent == Path(__file__).parent]
    if PART in os.environ:
        config.hook.pytest_deselected(items=[item for item in here if _part(item) != os.environ[PART]])
        items[:] = here = [item for item in here if _part(item) == os.environ[PART]]
    for item in here:
        tell_title(item)
        if _installed(item):
            item.add_marker(pytest.mark.timeout(STORY_SECONDS))
    items.sort(key=lambda item: _installed(item) if item in here else False)


def _part(item: pytest.Item) -> str:
    return "with-images" if "tag" in getattr(item, "fixturenames", ()) else "bare"


def _installed(item: pytest.Item) -> bool:
    return any(name in getattr(item, "fixturenames", ()) for name in INSTALLED)


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _has_workers(config: pytest.Config) -> bool:
    return bool(config.getoption("numprocesses", None)) and not _is_worker(config)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.session.stash[FAILED] = item.stash[FAILED] = True
    if report.failed and "cluster" in item.keywords and "KUBECONFIG" in os.environ:
        folder = EVIDENCE / re.sub(r"[^\w.-]+", "_", item.name)[:100]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{report.when}.txt").write_text(report.longreprtext)
        try:
            with Cluster(os.environ["KUBECONFIG"]) as cluster:
                collect(cluster, namespaces_of_interest(cluster, item.config.stash[NAMESPACES]), folder)
        except Exception as error:  # the test's own failure is what counts
            (folder / "evidence.error").write_text(repr(error))
    return report


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster of KUBECONFIG; `make e2e` makes one."""
    if "KUBECONFIG" not in os.environ:
        pytest.skip("KUBECONFIG names no cluster")
    with Cluster(os.environ["KUBECONFIG"]) as opened:
        yield opened


@pytest.fixture(scope="session")
def tag() -> str:
    """Tag of the images that the cluster's nodes hold."""
    if "MILEPOST_E2E_TAG" not in os.environ:
        pytest.skip("MILEPOST_E2E_TAG names no images that the cluster has; `make e2e` builds and loads them")
    return os.environ["MILEPOST_E2E_TAG"]


@pytest.fixture(scope="session")
def older_tag() -> str:
    """Another tag of the same images, to upgrade from."""
    if "MILEPOST_E2E_OLDER_TAG" not in os.environ:
        pytest.skip("MILEPOST_E2E_OLDER_TAG names no other tag of the images; `make e2e` loads one")
    return os.environ["MILEPOST_E2E_OLDER_TAG"]


@pytest.fixture(scope="session")
def keep() -> bool:
    """Whether Milepost and the namespaces of failed stories are to be left as they are."""
    return bool(os.environ.get("MILEPOST_E2E_KEEP"))


@pytest.fixture(scope="session", autouse=True)
def bare_definitions(request: pytest.FixtureRequest) -> Iterator[Definitions | None]:
    """The CRDs from the beginning until Milepost is installed, if there are tests that need no more of it."""
    bare = any("cluster" in item.keywords and not _installed(item) for item in request.session.items)
    if not bare or "KUBECONFIG" not in os.environ or _is_worker(request.config):
        yield None
        return
    definitions = Definitions(request.getfixturevalue("cluster"))
    definitions.make()
    yield definitions
    definitions.take_back()


@pytest.fixture(scope="session")
def installation(
    cluster: Cluster, tag: str, keep: bool, bare_definitions: Definitions | None
) -> Iterator[Installation]:
    """Milepost, installed by Helm for all stories."""
    if bare_definitions:
        bare_definitions.take_back()
    installed = Installation(cluster, tag)
    installed.refuse_another()
    installed.install()
    yield installed
    if not keep:
        installed.remove()


@pytest.fixture(scope="session")
def chaos(cluster: Cluster, tag: str, keep: bool) -> Iterator[Chaos]:
    pod = Chaos(cluster, f"milepost-tools:{tag}")
    pod.start()
    yield pod
    if not keep:
        pod.stop()


@pytest.fixture(scope="module")
def make_story(
    request: pytest.FixtureRequest, installation: Installation, keep: bool
) -> Iterator[Callable[[str], Story]]:
    """Makes a namespace that lives as long as the module's tests."""
    made: list[Story] = []
    namespaces = request.config.stash[NAMESPACES]

    def make(title: str) -> Story:
        made.append(Story(installation.cluster, title, installation.tag))
        namespaces.append(made[-1].namespace)
        return made[-1]

    yield make
    for each in made:
        each.close(keep=keep and request.session.stash.get(FAILED, False))
        namespaces.remove(each.namespace)


@pytest.fixture
def story(request: pytest.FixtureRequest, installation: Installation, keep: bool) -> Iterator[Story]:
    """A namespace of this test's own."""
    title = request.node.name.removeprefix("test_")
    made = Story(installation.cluster, title, installation.tag)
    namespaces = request.config.stash[NAMESPACES]
    namespaces.append(made.namespace)
    yield made
    made.close(keep=keep and request.node.stash.get(FAILED, False))
    namespaces.remove(made.namespace)


@pytest.fixture(scope="module")
def here(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Where an operator runs as a process, with the rights of its role alone."""
    with world(cluster, tmp_path_factory.mktemp("operator")) as made:
        yield made


@pytest.fixture(scope="module")
def operator(here: World) -> Iterator[OperatorProcess]:
    """One that works there, with nothing to do yet."""
    with here.operator() as process:
        process.wait_ready()
        yield process
