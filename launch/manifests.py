"""Manifests: what a stage was told, what it read, what it wrote; and whether that still holds.

`manifests/STAGE.json` is written when a stage has finished, `manifests/STAGE.started.json` when it starts. A stage
whose manifest holds is skipped. One that was interrupted resumes if its start record equals what it would write
now; otherwise its files are removed first, so nothing stale is ever read.
"""

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.artifacts import PARTIAL, read_json, remove_partials, sha256_file, write_json
from launch.options.fields import deciding
from launch.stages import Stage, stage_named

HEAD_BYTES = 1 << 20


@dataclass(frozen=True)
class Intent:
    """What decides a stage's result: its configuration, the seed, and what it reads."""

    config: dict[str, Any]  # Any: plain JSON values
    seed: int
    inputs: dict[str, str]
    """Upstream stage -> fingerprint of its files."""

    def as_json(self) -> dict[str, Any]:
        """The intent as it is written down; compare these."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self), default=str))
        return plain


def manifest_path(run_dir: Path, stage: Stage) -> Path:
    """Where a finished stage's manifest is."""
    return run_dir / "manifests" / f"{stage.name}.json"


def started_path(run_dir: Path, stage: Stage) -> Path:
    """Where a started stage's record is."""
    return run_dir / "manifests" / f"{stage.name}.started.json"


def read_manifest(run_dir: Path, stage: Stage) -> dict[str, Any] | None:
    """A finished stage's manifest, or None."""
    path = manifest_path(run_dir, stage)
    if not path.is_file():
        return None
    manifest: dict[str, Any] = read_json(path)
    return manifest


def make_intent(run_dir: Path, stage: Stage, *, config: Any, seed: int) -> Intent:
    """The intent of `stage` now. A stage that it reads and that has no manifest appears as `missing`."""
    inputs = {}
    for name in stage.reads:
        manifest = read_manifest(run_dir, stage_named(name))
        inputs[name] = "missing" if manifest is None else str(manifest["fingerprint"])
    plain: dict[str, Any] = json.loads(json.dumps(deciding(config), default=str))
    return Intent(config=plain, seed=seed, inputs=inputs)


def why_stale(run_dir: Path, stage: Stage, intent: Intent) -> str | None:
    """None if the stage's manifest still holds for `intent`, else the first reason why not."""
    manifest = read_manifest(run_dir, stage)
    if manifest is None:
        return "it has not finished"
    wanted = intent.as_json()
    if manifest["seed"] != wanted["seed"]:
        return f"its seed was {manifest['seed']}, now {wanted['seed']}"
    for key in sorted({*manifest["config"], *wanted["config"]}):
        was, now = manifest["config"].get(key), wanted["config"].get(key)
        if was != now:
            return f"{stage.section}.{key} was {was!r}, now {now!r}"
    for name, fingerprint in wanted["inputs"].items():
        if manifest["inputs"].get(name) != fingerprint:
            return f"what {name} wrote has changed since"
    return why_altered(run_dir, manifest)


def why_altered(run_dir: Path, manifest: dict[str, Any]) -> str | None:
    """None if every file outside and inside the run that a manifest names is as it was, else which is not."""
    for path, identity in manifest["external"].items():
        if not Path(path).exists():
            return f"{path} is gone"
        if identify(Path(path)) != identity:
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


def begin(run_dir: Path, stage: Stage, intent: Intent) -> bool:
    """Make the run folder ready for `stage`; True if an interrupted start with the same intent can be resumed."""
    started = started_path(run_dir, stage)
    record = intent.as_json()
    resumable = started.is_file() and read_json(started) == record
    manifest_path(run_dir, stage).unlink(missing_ok=True)
    if not resumable:
        wipe(run_dir, stage)
    for folder in sorted({Path(pattern).parts[0] for pattern in stage.writes}):
        if (run_dir / folder).is_dir():
            remove_partials(run_dir / folder)
    write_json(started, record)
    return resumable


def finish(run_dir: Path, stage: Stage, intent: Intent, *, external: Iterable[Path], facts: dict[str, Any]) -> None:
    """Write the manifest of a stage that has written all its files."""
    outputs = {}
    for path in output_files(run_dir, stage):
        stat = path.stat()
        name = path.relative_to(run_dir).as_posix()
        outputs[name] = {"bytes": stat.st_size, "sha256": sha256_file(path), "mtime_ns": stat.st_mtime_ns}
    digests = json.dumps({name: output["sha256"] for name, output in outputs.items()}, sort_keys=True)
    manifest = {
        "stage": stage.name,
        **intent.as_json(),
        "external": {str(path): identify(path) for path in sorted(set(external))},
        "outputs": outputs,
        "fingerprint": hashlib.sha256(digests.encode()).hexdigest(),
        **facts,
    }
    write_json(manifest_path(run_dir, stage), manifest)
    started_path(run_dir, stage).unlink(missing_ok=True)


def output_files(run_dir: Path, stage: Stage) -> list[Path]:
    """The files that `stage` has published, sorted; neither resume state nor half-written ones."""
    resumes = [run_dir / folder for folder in stage.resumes]
    written = {path for pattern in stage.writes for path in run_dir.glob(pattern) if path.is_file()}
    return sorted(
        path
        for path in written
        if not any(path.is_relative_to(folder) for folder in resumes)
        and not any(part.endswith(PARTIAL) for part in path.parts)
    )


def wipe(run_dir: Path, stage: Stage) -> None:
    """Remove all that `stage` has written, resume state and emptied folders included."""
    folders: set[Path] = set()
    for path in output_files(run_dir, stage):
        path.unlink()
        folders |= {parent for parent in path.parents if run_dir in parent.parents}
    for state in stage.resumes:
        shutil.rmtree(run_dir / state, ignore_errors=True)
    for tag in ("metrics", "tensorboard"):
        shutil.rmtree(run_dir / tag / stage.name, ignore_errors=True)
    for emptied in sorted(folders, key=lambda path: len(path.parts), reverse=True):
        if emptied.is_dir() and not any(emptied.iterdir()):
            emptied.rmdir()


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
