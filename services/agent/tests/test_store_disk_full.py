"""A disk that fills up: a clean refusal, and everything acknowledged is still there."""

import subprocess
import sys
from pathlib import Path

import store_zygote
from milepost_agent.store import Store
from store_zygote import Log, in_own_mounts

CHILD = f"{sys.executable} {store_zygote.__file__}"


def assert_refused_and_kept(log: Path, checked: Path) -> None:
    lines = Log(log).lines()
    assert lines[-1].startswith("refused StoreWriteError ")
    assert "m.db: cannot write: " in lines[-1]
    acknowledged = {line for line in lines if line.startswith(("event ", "call "))}
    assert len(acknowledged) > 10
    assert acknowledged <= set(Log(checked).lines())


def test_a_full_disk_refuses_cleanly_and_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    in_own_mounts(
        f"mount -t tmpfs -o size=1500k none {disk}\n"
        f"{CHILD} append_until_full {disk}/m.db {tmp_path}/log\n"
        f"mount -o remount,size=16m {disk}\n"
        f"{CHILD} dump {disk}/m.db {tmp_path}/checked"
    )
    assert_refused_and_kept(tmp_path / "log", tmp_path / "checked")


async def test_a_file_size_limit_refuses_cleanly_and_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    command = f"ulimit -f 1500; exec {CHILD} append_until_full {tmp_path}/m.db {tmp_path}/log"
    subprocess.run(["bash", "-c", command], check=True)
    await store_zygote.dump(f"{tmp_path}/m.db", f"{tmp_path}/checked")
    assert_refused_and_kept(tmp_path / "log", tmp_path / "checked")
    store = await Store.open(tmp_path / "m.db")
    assert store.failure is None
    await store.set_meta("writes", "again")
    await store.close()
