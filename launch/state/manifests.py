"""Manifests: what a stage was told, what it read, what it wrote; and whether that still holds.

`manifests/STAGE.json` is written when a stage has finished, `manifests/STAGE.started.json` when it starts. Either may
be damaged (a full disk, a torn file system): then it counts as absent, and a warning says so.
"""

import dataclasses
import functools
import hashlib
import json
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from launch.artifacts import PARTIAL, files_below, read_json, sha256_file
from launch.options.fields import deciding
from launch.stages import Stage, stage_named
from launch.state.missing_keys import defaults_of, differences

HEAD_BYTES = 1 << 20
ABSENT = "absent"
"""The fingerprint of an optional input that is not there."""
INTENT_KEYS = {"config": dict, "seed": int, "inputs": dict}
MANIFEST_KEYS = {**INTENT_KEYS, "external": dict, "outputs": dict, "fingerprint": str}
Record = dict[str, Any]  # Any: plain JSON values
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Intent:
    """What decides a stage's result: its configuration, the seed, what it reads, and the version of its own code."""

    config: Record
    seed: int
    inputs: dict[str, str]
    """Upstream stage -> fingerprint of its files."""
    version: int = 1
    defaults: Record = field(default_factory=dict)
    """What the configuration would be were no key given; not written down."""

    def as_json(self) -> Record:
        """The intent as it is written down."""
        return {"config": self.config, "seed": self.seed, "inputs": self.inputs, "version": self.version}


def manifest_path(run_dir: Path, stage: Stage) -> Path:
    """Where a finished stage's manifest is."""
    return run_dir / "manifests" / f"{stage.name}.json"


def started_path(run_dir: Path, stage: Stage) -> Path:
    """Where a started stage's record is."""
    return run_dir / "manifests" / f"{stage.name}.started.json"


def read_manifest(run_dir: Path, stage: Stage) -> Record | None:
    """A finished stage's manifest; None where there is none, or only a damaged one."""
    return read_record(manifest_path(run_dir, stage), MANIFEST_KEYS)


def read_started(run_dir: Path, stage: Stage) -> Record | None:
    """The record of a start; None where there is none, or only a damaged one."""
    return read_record(started_path(run_dir, stage), INTENT_KEYS)


def read_record(path: Path, keys: Mapping[str, type]) -> Record | None:
    """A JSON object that has `keys` with values of these types, or None."""
    if not path.is_file():
        return None
    try:
        record = read_json(path)
    except (OSError, ValueError, RecursionError):
        record = None
    if isinstance(record, dict) and all(isinstance(record.get(key), kind) for key, kind in keys.items()):
        return record
    _warn_of_damage(path)
    return None


@functools.cache
def _warn_of_damage(path: Path) -> None:
    """Once a process: a state asks for the same record several times."""
    log.warning("%s is damaged: what it was for counts as not finished", path)


def make_intent(run_dir: Path, stage: Stage, *, config: Any, seed: int, without: Collection[str] = ()) -> Intent:
    """The intent of `stage` now. A stage that it reads and that has no manifest appears as `absent`.

    Args:
        without: inputs that are not read although they may be there.
    """
    inputs = {}
    for name in (*stage.reads, *stage.optional):
        manifest = None if name in without else read_manifest(run_dir, stage_named(name))
        inputs[name] = ABSENT if manifest is None else str(manifest["fingerprint"])
    told = deciding(config) if dataclasses.is_dataclass(config) else config
    return Intent(_plain(told), seed, inputs, stage.version, defaults=_plain(defaults_of(stage, config)))


def differs(record: Record, wanted: Intent, stage: Stage) -> str | None:
    """None if what a record holds is what is wanted now, else the first difference in words."""
    if record.get("version", 0) != wanted.version:
        return f"KinRec now makes other results here (version {wanted.version}, was {record.get('version', 0)})"
    if record["seed"] != wanted.seed:
        return f"its seed was {record['seed']}, now {wanted.seed}"
    changed = next(differences(record["config"], wanted.config, stage.section, default=wanted.defaults), None)
    if changed is not None:
        return changed
    for name, fingerprint in wanted.inputs.items():
        if record["inputs"].get(name) != fingerprint:
            return f"what {name} wrote has changed since"
    return None


def why_altered(run_dir: Path, manifest: Record, *, outside: bool = True) -> str | None:
    """None if every file that a manifest names is as it was, else which is not.

    Args:
        outside: look at what the stage read outside the run as well, as far as it is still there: what is gone cannot
            be read again, and what was made of it holds.
    """
    for path, identity in manifest["external"].items() if outside else ():
        if Path(path).exists() and identify(Path(path)) != identity:
            return f"{path} has changed since"
    for name, was in manifest["outputs"].items():
        path = run_dir / name
        if not path.is_file():
            return f"{name} is gone"
        stat = path.stat()
        if stat.st_size != was["bytes"]:
            return f"{name} has {stat.st_size} bytes, was written with {was['bytes']}"
        if stat.st_mtime_ns != was["mtime_ns"] and sha256_file(path) != was["sha256"]:
            return f"{name} has other content than was written"
    return None


def output_files(run_dir: Path, stage: Stage) -> list[Path]:
    """The files that `stage` has published, sorted; neither resume state nor half-written ones."""
    resumes = [run_dir / folder for folder in stage.resumes]
    return sorted(
        path
        for top in stage.folders
        for path in files_below(run_dir / top)
        if any(matches(path.relative_to(run_dir), pattern) for pattern in stage.writes)
        and not any(path.is_relative_to(folder) for folder in resumes)
        and not any(part.endswith(PARTIAL) for part in path.parts)
        and path.is_file()
    )


def matches(name: Path, pattern: str) -> bool:
    """Whether a file, named as in the run folder, is one of those that a stage's `writes` tells of."""
    if pattern.endswith("/**/*"):
        return name.is_relative_to(pattern.removesuffix("/**/*"))
    return name.match(pattern)


def identify(path: Path) -> str:
    """A file's or folder's identity without reading all of it: sizes, times, and a digest of each first MiB."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        stat = file.stat()
        with file.open("rb") as opened:
            head = opened.read(HEAD_BYTES)
        digest.update(f"{file.name} {stat.st_size} {stat.st_mtime_ns} ".encode() + hashlib.sha256(head).digest())
    return digest.hexdigest()


def _plain(values: Any) -> Any:  # Any: a configuration's values, then plain JSON ones
    return json.loads(json.dumps(values, default=str))
