"""`milepost backup` and `milepost restore`, against local mode and against the pods of a namespace."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cli_fake_agent import FakeAgent
from cli_fake_backups import CONTENT
from cli_fake_cluster import PODS
from cli_process import LIMIT, Milepost, command

from milepost_cli import backups, restore
from milepost_cli.cluster.backend import ClusterBackend
from milepost_cli.errors import NotFoundError, UsageError
from milepost_cli.state import StateDirectory

OLD, NEW = "20261125T180000Z-6", "20261125T190000Z-7"


@pytest.mark.requirement("CLI-1", "DUR-5")
def test_a_backup_is_made_under_an_id_of_time_and_epoch(
    milepost: Milepost, state: StateDirectory, fake_agent: FakeAgent
) -> None:
    done = milepost("backup", "review-loop", "--state", state.path)
    assert done.returncode == 0, done.stderr
    [backup_id] = fake_agent.backups.created
    assert backup_id.endswith("Z-7")
    assert done.stdout == f"backup {backup_id} of review-loop: 2 runs, 1.2 MiB, verified\n"
    done = milepost("backup", "review-loop", "--json", "--state", state.path)
    [form] = json.loads(done.stdout)["backups"]
    assert (form["runs"], form["cause"], form["epoch"]) == (2, "request", 7)
    assert "pod" not in form


@pytest.mark.requirement("CLI-1", "DUR-5")
def test_a_new_backup_is_not_taken_for_one_of_the_schedule_that_was_made_in_the_same_second(
    milepost: Milepost, state: StateDirectory, fake_agent: FakeAgent
) -> None:
    now = datetime.now(UTC)
    taken = [f"{now + timedelta(seconds=second):%Y%m%dT%H%M%SZ}-7" for second in range(300)]
    for backup_id in taken:
        fake_agent.backups.keep(backup_id, b"")
    done = milepost("backup", "review-loop", "--state", state.path)
    assert done.returncode == 0, done.stderr
    [created] = fake_agent.backups.created
    assert created not in taken


@pytest.mark.requirement("CLI-1", "DUR-5")
def test_a_backup_is_downloaded_and_compared_with_its_checksum(
    milepost: Milepost, state: StateDirectory, fake_agent: FakeAgent, tmp_path: Path
) -> None:
    done = milepost("backup", "review-loop", "--to", tmp_path, "--state", state.path)
    assert done.returncode == 0, done.stderr
    [file] = tmp_path.glob("*.db")
    assert file.stem == fake_agent.backups.created[0]
    assert file.read_bytes() == CONTENT
    assert f"downloaded to {file}, sha256 {hashlib.sha256(CONTENT).hexdigest()}" in done.stdout
    again = milepost("backup", "review-loop", "--to", file, "--state", state.path)
    assert (again.returncode, again.stderr) == (
        2,
        f"milepost: --to {file}: exists already; allowed: a new file, or a folder\n",
    )
    fake_agent.backups.lie = b"?"
    lied = milepost("backup", "review-loop", "--to", tmp_path / "b.db", "--state", state.path)
    assert lied.returncode == 2
    assert "b.db: sha256 is " in lied.stderr and lied.stderr.count("\n") == 1
    assert not list(tmp_path.glob("b.db*"))


@pytest.mark.requirement("CLI-1", "DUR-5")
def test_backups_are_listed_with_their_damage_and_the_trouble_of_the_schedule(
    milepost: Milepost, state: StateDirectory, fake_agent: FakeAgent
) -> None:
    assert "no backups yet" in milepost("backup", "review-loop", "--list", "--state", state.path).stdout
    fake_agent.backups.keep(OLD, damage="the file's sha256 is not that of its manifest")
    fake_agent.backups.keep(NEW, cause="schedule")
    fake_agent.backups.failure = "no room for a backup"
    done = milepost("backup", "review-loop", "--list", "--state", state.path)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()[1:3]
    assert first.startswith(NEW) and " schedule " in first
    assert second.startswith(OLD) and second.endswith("the file's sha256 is not that of its manifest")
    assert "review-loop: the last attempt of the schedule made none: no room for a backup" in done.stderr
    assert "review-loop: the next is due at 20" in done.stdout
    form = json.loads(milepost("backup", "review-loop", "--list", "--json", "--state", state.path).stdout)
    assert [each["backup_id"] for each in form["backups"]] == [NEW, OLD]
    [schedule] = form["schedules"]
    assert schedule["failure"] == "no room for a backup" and schedule["next_time"] == "2027-01-15T08:00:30.000Z"


@pytest.mark.requirement("CLI-1", "DUR-5")
def test_a_backup_that_cannot_be_made_is_one_line(
    milepost: Milepost, state: StateDirectory, fake_agent: FakeAgent
) -> None:
    fake_agent.backups.failure = "/data/backups: no room for a backup of 5 bytes"
    done = milepost("backup", "review-loop", "--state", state.path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "milepost: /data/backups: no room for a backup of 5 bytes\n"
    assert len(fake_agent.backups.created) == 1


@pytest.mark.requirement("CLI-1", "DUR-5")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("backup", "other"), "no workflow other here; allowed: review-loop"),
        (("backup", "review-loop", "--list", "--to", "x"), "--to: is not for --list; allowed: one of them"),
        (("backup", "review-loop", "--pod", "a"), "--pod a: workflow review-loop has no such pod; allowed: none, in"),
        (("restore", "review-loop"), "--yes: is needed where nobody can be asked"),
        (("restore", "review-loop", OLD, "--from", "x"), "--from: is not for a BACKUP-ID; allowed: one of them"),
        (("restore", "review-loop", "--yes"), "review-loop has no backup that can be used"),
        (("restore", "review-loop", OLD, "--yes"), f"review-loop has no backup {OLD}; allowed: none"),
        (("restore", "review-loop", "--from", "/none", "--yes"), "--from /none: cannot be read: No such file"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_changes_nothing(
    milepost: Milepost, state: StateDirectory, fake_agent: FakeAgent, arguments: tuple[str, ...], words: str
) -> None:
    done = milepost(*arguments, "--state", state.path, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert done.stderr.startswith(f"milepost: {words}") and done.stderr.count("\n") == 1
    assert fake_agent.backups.restored == []


@pytest.mark.requirement("CLI-1", "DUR-5")
def test_the_newest_sound_backup_or_the_named_one_is_restored(
    milepost: Milepost, state: StateDirectory, fake_agent: FakeAgent
) -> None:
    fake_agent.backups.keep(OLD)
    fake_agent.backups.keep(NEW, damage="the file's sha256 is not that of its manifest")
    damaged = milepost("restore", "review-loop", NEW, "--yes", "--state", state.path)
    assert damaged.stderr.startswith(f"milepost: backup {NEW} cannot be used: the file's sha256")
    done = milepost("restore", "review-loop", "--yes", "--state", state.path)
    assert done.returncode == 0, done.stderr
    assert f"review-loop goes on from backup {OLD}: 2 runs" in done.stdout
    named = milepost("restore", "review-loop", OLD, "--yes", "--json", "--state", state.path)
    form = json.loads(named.stdout)
    assert (form["backup"]["backup_id"], form["epoch"]) == (OLD, 7 + 2 * 1_000_001)
    assert fake_agent.backups.restored == [OLD, OLD]


@pytest.mark.requirement("CLI-1", "DUR-5")
def test_a_restore_whose_agent_goes_away_is_asked_for_once(
    milepost: Milepost, state: StateDirectory, fake_agent: FakeAgent
) -> None:
    fake_agent.backups.keep(OLD)
    fake_agent.backups.dies = True
    done = milepost("restore", "review-loop", "--yes", "--state", state.path)
    assert done.returncode == 0, done.stderr
    assert fake_agent.backups.restored == [OLD]


@pytest.mark.requirement("CLI-1", "DUR-5")
def test_a_file_is_uploaded_verified_and_restored(
    milepost: Milepost, state: StateDirectory, fake_agent: FakeAgent, tmp_path: Path
) -> None:
    named, letter = tmp_path / f"{OLD}.db", tmp_path / "letter"
    named.write_bytes(CONTENT)
    letter.write_bytes(b"dear friend")
    refused = milepost("restore", "review-loop", "--from", letter, "--yes", "--state", state.path)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"milepost: --from {letter}: backup ")
    assert refused.stderr.endswith("file is not a database\n")
    done = milepost("restore", "review-loop", "--from", named, "--yes", "--state", state.path)
    assert done.returncode == 0, done.stderr
    assert fake_agent.backups.files[OLD] == CONTENT
    assert fake_agent.backups.restored == [OLD]


@pytest.mark.requirement("CLI-1", "DUR-5")
@pytest.mark.parametrize(("answer", "restored"), [("y", [OLD]), ("n", []), ("", [])])
def test_a_person_is_asked_first(
    state: StateDirectory, fake_agent: FakeAgent, answer: str, restored: list[str]
) -> None:
    fake_agent.backups.keep(OLD)
    leader, follower = pty.openpty()
    try:
        with subprocess.Popen(
            command("restore", "review-loop", "--state", state.path),
            stdin=follower,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            os.write(leader, f"{answer}\n".encode())
            told, asked = process.communicate(timeout=LIMIT)
    finally:
        os.close(leader)
        os.close(follower)
    assert f"review-loop would go on from backup {OLD} of " in asked
    assert process.returncode == (0 if restored else 1)
    assert ("goes on from" in told) == bool(restored)
    assert fake_agent.backups.restored == restored


@pytest.mark.requirement("CLI-1", "DUR-5")
def test_every_pod_is_backed_up_unless_one_is_named(
    cluster: ClusterBackend, agents: dict[str, FakeAgent], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert backups.create(backups.chosen(cluster, "review-loop", None), to=None, as_json=True) == 0
    form = json.loads(capsys.readouterr().out)
    assert [each["pod"] for each in form["backups"]] == list(PODS)
    assert [len(agent.backups.created) for agent in agents.values()] == [1, 1]
    with pytest.raises(
        UsageError, match="--to: 2 pods have runs of their own; allowed: --pod with one of review-loop-0"
    ):
        backups.create(backups.chosen(cluster, "review-loop", None), to=tmp_path, as_json=True)
    assert backups.create(backups.chosen(cluster, "review-loop", PODS[1]), to=tmp_path, as_json=True) == 0
    assert [len(agent.backups.created) for agent in agents.values()] == [1, 2]
    assert len(list(tmp_path.glob("*.db"))) == 1
    with pytest.raises(
        NotFoundError, match="--pod other: workflow review-loop has no such pod; allowed: review-loop-0,"
    ):
        backups.chosen(cluster, "review-loop", "other")


@pytest.mark.requirement("CLI-1", "DUR-5")
def test_a_restore_wants_one_pod(cluster: ClusterBackend, agents: dict[str, FakeAgent]) -> None:
    for agent in agents.values():
        agent.backups.keep(OLD)
    with pytest.raises(UsageError, match="2 pods have runs of their own; allowed: --pod with one of review-loop-0, "):
        restore.restore(cluster, "review-loop", None, "", None, sure=True, as_json=False)
    assert restore.restore(cluster, "review-loop", PODS[1], "", None, sure=True, as_json=False) == 0
    assert [agent.backups.restored for agent in agents.values()] == [[], [OLD]]
