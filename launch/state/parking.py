"""Parking: what a stage made before waits beside its successor, and comes back when that fails.

    .parked/STAGE/KEY/slot.json    which files wait here, and whether they are on their way in or out
    .parked/STAGE/KEY/files/...    the files, under their names in the run folder

KEY is a digest of what decided them. A stage that starts anew parks whatever lies in its place: a finished result with
its manifest, or a stopped start with its checkpoints. Slots go when the successor has finished. Every move is a rename
inside the run folder and is written down first, so that one that was killed is completed by the next start.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from launch.artifacts import files_below, sync_folder, write_json
from launch.errors import InputError
from launch.stages import Stage
from launch.state.manifests import (
    INTENT_KEYS,
    MANIFEST_KEYS,
    Record,
    manifest_path,
    matches,
    read_manifest,
    read_record,
    read_started,
    started_path,
)

PARKED = ".parked"
KEPT = "kept"
"""Where files go that no manifest lists and whose place is taken: a user's own notes in a stage's folder."""
SLOT_KEYS = {"moving": str, "files": list, "own": list}
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Slot:
    """One result that waits."""

    folder: Path
    stage: Stage

    @property
    def files(self) -> Path:
        """The root of what waits, with the run folder's names below it."""
        return self.folder / "files"

    def manifest(self) -> Record | None:
        """The manifest of a finished result."""
        return read_record(self.files / "manifests" / f"{self.stage.name}.json", MANIFEST_KEYS)

    def started(self) -> Record | None:
        """The record of a stopped start."""
        return read_record(self.files / "manifests" / f"{self.stage.name}.started.json", INTENT_KEYS)

    def record(self) -> Record:
        """slot.json; where it is damaged or was not written yet, all that waits, as ours."""
        record = read_record(self.folder / "slot.json", SLOT_KEYS)
        if record is not None:
            return record
        names = [path.relative_to(self.files).as_posix() for path in files_below(self.files)]
        return {"moving": "no", "files": names, "own": names}


def refuse_links(run_dir: Path, stage: Stage) -> None:
    """InputError if a folder that `stage` writes to is a symbolic link: nothing outside the run may change."""
    for name in (*stage.folders, "manifests", "logs", "metrics", "tensorboard", PARKED):
        if (run_dir / name).is_symlink():
            raise InputError(
                f"{run_dir / name}: a symbolic link; KinRec changes nothing outside of the run's folder: "
                "put a real folder there, or choose another --run_dir"
            )


def park(run_dir: Path, stage: Stage) -> Slot | None:
    """Move all that lies in the stage's place into a slot; None where there is nothing."""
    complete_moves(run_dir, stage)
    manifest, started = read_manifest(run_dir, stage), read_started(run_dir, stage)
    names = [path.relative_to(run_dir).as_posix() for path in _in_place(run_dir, stage)]
    if manifest is None and not any(_is_worth_keeping(name, stage) for name in names):
        for name in names:  # a start that ended before it had made anything
            (run_dir / name).unlink()
        _remove_empty(run_dir, stage)
        return None
    slot = Slot(_free_folder(run_dir / PARKED / stage.name, _key(manifest or started)), stage)
    slot.files.mkdir(parents=True)
    own = names if manifest is None else [name for name in names if _is_ours(name, manifest, stage)]
    write_json(slot.folder / "slot.json", {"moving": "in", "files": names, "own": own})
    complete_moves(run_dir, stage)
    return slot


def bring_back(run_dir: Path, slot: Slot) -> None:
    """Move what waits in `slot` to its place, which must be empty; the slot goes."""
    write_json(slot.folder / "slot.json", {**slot.record(), "moving": "out"})
    complete_moves(run_dir, slot.stage)


def complete_moves(run_dir: Path, stage: Stage) -> None:
    """Bring moves to their end that a kill interrupted."""
    for slot in slots(run_dir, stage):
        record = slot.record()
        if record["moving"] == "no":
            continue
        inwards = record["moving"] == "in"
        for name in _manifest_first(record["files"], stage) if inwards else _manifest_last(record["files"], stage):
            source, goal = (run_dir / name, slot.files / name) if inwards else (slot.files / name, run_dir / name)
            if os.path.lexists(source):
                goal.parent.mkdir(parents=True, exist_ok=True)
                source.rename(goal)
                sync_folder(goal.parent)
        if inwards:
            write_json(slot.folder / "slot.json", {**record, "moving": "no"})
            _remove_empty(run_dir, stage)
        else:
            shutil.rmtree(slot.folder)


def slots(run_dir: Path, stage: Stage) -> list[Slot]:
    """The stage's slots, the oldest first."""
    folder = run_dir / PARKED / stage.name
    if not folder.is_dir() or folder.is_symlink():
        return []
    folders = [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
    return [Slot(path, stage) for path in sorted(folders, key=lambda path: path.stat().st_mtime_ns)]


def finished_slot(run_dir: Path, stage: Stage) -> Slot | None:
    """The slot of the last finished result, if one waits."""
    finished = [slot for slot in slots(run_dir, stage) if slot.manifest() is not None]
    return finished[-1] if finished else None


def settle(run_dir: Path, stage: Stage) -> bool:
    """After a start that failed: put the finished result back that was parked for it; True if there was one.

    What the failed start left waits in its turn, so that the same start goes on where it failed.
    """
    complete_moves(run_dir, stage)
    if read_manifest(run_dir, stage) is not None:
        return False
    slot = finished_slot(run_dir, stage)
    if slot is None:
        return False
    park(run_dir, stage)
    bring_back(run_dir, slot)
    log.info("%s: its earlier result is back in place", stage.name)
    return True


def discard(run_dir: Path, stage: Stage) -> None:
    """Remove what waits, now that its successor has finished; files that were not ours go back to their place."""
    complete_moves(run_dir, stage)
    for slot in slots(run_dir, stage):
        record = slot.record()
        for name in sorted({*record["files"]} - {*record["own"]}):
            if os.path.lexists(slot.files / name):
                _give_back(slot.files / name, name, run_dir)
        shutil.rmtree(slot.folder)
    for folder in (run_dir / PARKED / stage.name, run_dir / PARKED):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _in_place(run_dir: Path, stage: Stage) -> Iterator[Path]:
    """Every file, or link, that is the stage's or lies in its folders: results, resume state, metrics, records."""
    whole = [*stage.resumes, *(f"{tag}/{stage.name}" for tag in ("metrics", "tensorboard"))]
    for top in stage.folders:
        for path in files_below(run_dir / top):
            name = path.relative_to(run_dir)
            if any(matches(name, pattern) for pattern in stage.writes) or any(name.is_relative_to(w) for w in whole):
                yield path
    for folder in whole[len(stage.resumes) :]:
        yield from files_below(run_dir / folder)
    yield from (path for path in (manifest_path(run_dir, stage), started_path(run_dir, stage)) if os.path.lexists(path))


def _is_ours(name: str, manifest: Record, stage: Stage) -> bool:
    made_here = (*stage.resumes, f"metrics/{stage.name}", f"tensorboard/{stage.name}", "manifests")
    return name in manifest["outputs"] or any(Path(name).is_relative_to(folder) for folder in made_here)


def _is_worth_keeping(name: str, stage: Stage) -> bool:
    """Not a record of a start, nor the few numbers that it logged before it failed."""
    logged = (f"metrics/{stage.name}", f"tensorboard/{stage.name}")
    return not _is_record(name, stage) and not any(Path(name).is_relative_to(folder) for folder in logged)


def _key(record: Record | None) -> str:
    if record is None:
        return "unknown"
    deciding = {key: record.get(key) for key in ("config", "seed", "inputs", "version")}
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:16]


def _free_folder(parent: Path, name: str) -> Path:
    number = 1
    while (folder := parent / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return folder


def _manifest_first(names: list[str], stage: Stage) -> list[str]:
    """A result without its files must never look finished: its manifest leaves first."""
    return sorted(names, key=lambda name: (not _is_record(name, stage), name))


def _manifest_last(names: list[str], stage: Stage) -> list[str]:
    return sorted(names, key=lambda name: (_is_record(name, stage), name))


def _is_record(name: str, stage: Stage) -> bool:
    return name in {f"manifests/{stage.name}.json", f"manifests/{stage.name}.started.json"}


def _remove_empty(run_dir: Path, stage: Stage) -> None:
    tops = [*stage.folders, f"metrics/{stage.name}", f"tensorboard/{stage.name}"]
    for top in tops:
        for root, _, _ in os.walk(run_dir / top, topdown=False):
            if not any(Path(root).iterdir()):
                Path(root).rmdir()


def _give_back(path: Path, name: str, run_dir: Path) -> None:
    goal = run_dir / name
    if os.path.lexists(goal):
        goal = _free_folder(run_dir / KEPT, name)
        log.warning("%s is not KinRec's, and its place is taken now: it is %s", name, goal)
    goal.parent.mkdir(parents=True, exist_ok=True)
    path.rename(goal)
