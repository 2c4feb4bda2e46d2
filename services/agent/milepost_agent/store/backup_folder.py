"""The folder of backups: what is in it, what of it verifies, and what is kept."""

import contextlib
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import apsw

from milepost_agent.errors import BackupConflict, BackupDamaged, BackupFailed, BackupNotFound
from milepost_agent.failpoints import failpoint
from milepost_agent.store.copying import Contents, copy_online, read_contents, sha256_of
from milepost_agent.store.durable import discard, sync_file, sync_folder, write_durable
from milepost_agent.store.manifest import Cause, Manifest, is_backup_id, make_backup_id

_PARTIAL: Final = ".partial"


@dataclass(frozen=True)
class Backup:
    """A backup as it lies there. `damage` says in one line why it cannot be used; empty when it can.

    `manifest` is None when it cannot be read; then there is a damage.
    """

    backup_id: str
    file: Path
    manifest: Manifest | None
    damage: str


class BackupFolder:
    """Backups of one agent: `ID.db`, a database that is whole in itself, with its manifest `ID.json`.

    A backup counts once its database has its name, and that is the last thing that is done: what a kill leaves before
    is a manifest without a file, or a file that is called partial, and both are removed by the next owner. Methods
    block, and only one thread at a time may call those that change something.
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self.path = path
        self._now = now
        self._checksums: dict[tuple[str, int, int, int], str] = {}

    def entries(self) -> list[Backup]:
        """All of them, the newest first, each compared with its manifest."""
        with contextlib.suppress(OSError):
            found = [file for file in self.path.glob("*.db") if is_backup_id(file.stem)]
            return sorted(map(self._look, found), key=_age_key, reverse=True)
        return []

    def last_time(self) -> float | None:
        """When the newest backup of the agent itself was made, by manifests alone; None when there is none."""
        times = []
        with contextlib.suppress(OSError):
            for file in self.path.glob("*.db"):
                with contextlib.suppress(OSError, UnicodeError, BackupDamaged):
                    manifest = Manifest.decode(_manifest_file(file).read_text())
                    if manifest.cause != "upload" and file.stat().st_size == manifest.size_bytes:
                        times.append(manifest.create_time)
        return max(times, default=None)

    def find(self, backup_id: str) -> Backup:
        """Raises BackupNotFound."""
        file = self._file(backup_id)
        if not file.is_file():
            raise BackupNotFound(f"there is no backup {backup_id} in {self.path}")
        return self._look(file)

    def verify(self, backup_id: str) -> Manifest:
        """Compares the file with its manifest, and checks every page and index of it.

        Raises:
            BackupNotFound, BackupDamaged.
        """
        found = self.find(backup_id)
        if found.manifest is None or found.damage:
            raise BackupDamaged(f"backup {backup_id}: {found.damage}")
        contents = read_contents(found.file)
        expected = (found.manifest.epoch, found.manifest.last_sequence, found.manifest.runs)
        if (contents.epoch, contents.last_sequence, contents.runs) != expected:
            raise BackupDamaged(f"backup {backup_id}: the file does not hold what its manifest says")
        return found.manifest

    def newest_sound(self, store_id: str = "") -> Manifest | None:
        """The newest one that verifies; with a store id, only of that file of runs."""
        for backup in self.entries():
            if store_id and backup.manifest is not None and backup.manifest.store_id not in ("", store_id):
                continue
            with contextlib.suppress(BackupNotFound, BackupDamaged):
                return self.verify(backup.backup_id)
        return None

    def create(
        self, database: Path, *, backup_id: str, epoch: int, cause: Cause, workflow: str, stop: threading.Event
    ) -> tuple[Manifest, bool]:
        """Copies the database, verifies the copy and keeps it; a sound one with this id is returned again (True).

        An empty id: one is made from the time and `epoch`.

        Raises:
            BackupFailed: it could not be made; nothing of it is left.
        """
        known = self._known(backup_id)
        if known is not None:
            return known, True
        backup_id = backup_id or self._free_id(epoch)
        file = self._file(backup_id)
        partial = file.with_name(file.name + _PARTIAL)
        try:
            self._prepare()
            discard(partial)
            copy_online(database, partial, stop)
            failpoint("backup.copied")
            contents = read_contents(partial, stop)
            manifest = self._manifest(backup_id, partial, contents, cause, workflow or contents.workflow)
            self._keep(partial, manifest)
        except (apsw.Error, OSError, BackupDamaged) as error:
            raise BackupFailed(f"{file}: cannot be made: {error}") from error
        finally:
            discard(partial)
        return manifest, False

    def begin_upload(self, backup_id: str) -> Path:
        """Where the content of a backup from outside is to be written before `accept`. Raises BackupFailed."""
        try:
            self._prepare()
        except OSError as error:
            raise BackupFailed(f"{self.path}: cannot be written: {error.strerror}") from error
        return self._file(backup_id).with_name(f"{backup_id}.{uuid.uuid4()}{_PARTIAL}")

    def accept(
        self, partial: Path, backup_id: str, sha256: str, create_time: float, workflow: str
    ) -> tuple[Manifest, bool]:
        """Verifies and keeps what was written; the same content under the same id again is known (True).

        A backup that holds runs must be of this workflow.

        Raises:
            BackupDamaged, BackupConflict, BackupFailed: nothing of it is left.
        """
        try:
            found = sha256_of(partial)
            if sha256 and found != sha256:
                raise BackupDamaged(f"backup {backup_id}: sha256 is {found}; {sha256} was announced")
            contents = read_contents(partial)
            if contents.workflow not in ("", workflow):
                raise BackupDamaged(f"backup {backup_id}: is of workflow {contents.workflow}, not of {workflow}")
            known = self._known(backup_id)
            if known is not None:
                if known.sha256 != found:
                    raise BackupConflict(f"backup id {backup_id} belongs to another backup")
                return known, True
            manifest = self._manifest(backup_id, partial, contents, "upload", contents.workflow)
            manifest = replace(manifest, create_time=create_time or manifest.create_time)
            self._keep(partial, manifest)
        except OSError as error:
            raise BackupFailed(f"{self.path}: cannot be written: {error.strerror}") from error
        finally:
            discard(partial)
        return manifest, False

    def rotate(self, keep: int) -> list[str]:
        """Removes what is older than the newest `keep` sound ones; a damaged one does not count. Returns the ids."""
        backups = self.entries()
        sound = [backup for backup in backups if not backup.damage]
        if len(sound) <= keep:
            return []
        last = backups.index(sound[keep - 1])
        removed = backups[last + 1 :]
        for backup in removed:
            failpoint("backup.rotating")
            discard(backup.file, _manifest_file(backup.file))
        return [backup.backup_id for backup in removed]

    def clean(self) -> None:
        """Removes what a kill in the middle of a backup left; for the owner alone."""
        with contextlib.suppress(OSError):
            discard(*self.path.glob(f"*{_PARTIAL}"))
            manifests = [file for file in self.path.glob("*.json") if is_backup_id(file.stem)]
            discard(*(each for each in manifests if not each.with_suffix(".db").exists()))

    def _prepare(self) -> None:
        created = not self.path.exists()
        self.path.mkdir(parents=True, exist_ok=True)
        if created:
            sync_folder(self.path.parent)

    def _keep(self, partial: Path, manifest: Manifest) -> None:
        sync_file(partial)
        failpoint("backup.synced")
        file = self._file(manifest.backup_id)
        write_durable(_manifest_file(file), manifest.encode())
        failpoint("backup.manifest_written")
        partial.replace(file)
        sync_folder(self.path)
        failpoint("backup.kept")
        self._remember(file, manifest.sha256)

    def _manifest(self, backup_id: str, file: Path, contents: Contents, cause: Cause, workflow: str) -> Manifest:
        return Manifest(
            backup_id=backup_id,
            create_time=self._now(),
            size_bytes=file.stat().st_size,
            sha256=sha256_of(file),
            cause=cause,
            workflow=workflow,
            store_id=contents.store_id,
            epoch=contents.epoch,
            last_sequence=contents.last_sequence,
            runs=contents.runs,
            schema_version=contents.schema_version,
            sqlite_version=apsw.sqlite_lib_version(),
        )

    def _known(self, backup_id: str) -> Manifest | None:
        """The manifest of a backup of this id that can be used."""
        if not backup_id or not self._file(backup_id).is_file():
            return None
        found = self._look(self._file(backup_id))
        return None if found.damage else found.manifest

    def _free_id(self, epoch: int) -> str:
        when = self._now()
        while self._file(backup_id := make_backup_id(when, epoch)).exists():
            when += 1
        return backup_id

    def _file(self, backup_id: str) -> Path:
        if not is_backup_id(backup_id):
            raise BackupNotFound(f"{backup_id!r} is no backup id; allowed: like 20261125T194500Z-7")
        return self.path / f"{backup_id}.db"

    def _look(self, file: Path) -> Backup:
        manifest, damage = None, ""
        try:
            manifest = Manifest.decode(_manifest_file(file).read_text())
            damage = self._difference(file, manifest)
        except FileNotFoundError:
            damage = "the manifest or the file is not there"
        except (OSError, UnicodeError) as error:
            damage = f"cannot be read: {error}"
        except BackupDamaged as error:
            damage = str(error)
        return Backup(file.stem, file, manifest, damage)

    def _difference(self, file: Path, manifest: Manifest) -> str:
        if manifest.backup_id != file.stem:
            return f"the manifest is of {manifest.backup_id}"
        size = file.stat().st_size
        if size != manifest.size_bytes:
            return f"the file has {size:,} bytes; its manifest says {manifest.size_bytes:,}"
        if self._checksum(file) != manifest.sha256:
            return "the file's sha256 is not that of its manifest"
        return ""

    def _checksum(self, file: Path) -> str:
        """Read once for each state of a file: many large ones are listed often."""
        key = _state(file)
        if key not in self._checksums:
            self._checksums[key] = sha256_of(file)
        return self._checksums[key]

    def _remember(self, file: Path, sha256: str) -> None:
        self._checksums[_state(file)] = sha256


def default_folder(database: Path) -> Path:
    """Where backups lie unless another place is named."""
    return database.parent / "backups"


def copy_backup(folder: BackupFolder, backup_id: str, target: Path) -> None:
    """Puts a copy of a backup elsewhere, durably. Raises OSError, BackupNotFound."""
    shutil.copyfile(folder.find(backup_id).file, target)
    sync_file(target)


def _state(file: Path) -> tuple[str, int, int, int]:
    found = file.stat()
    return file.name, found.st_ino, found.st_size, found.st_mtime_ns


def _manifest_file(file: Path) -> Path:
    return file.with_suffix(".json")


def _age_key(backup: Backup) -> tuple[int, int, str]:
    return backup.manifest.age_key if backup.manifest is not None else (-1, 0, backup.backup_id)
