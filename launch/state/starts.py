"""The start and the end of a stage in a run folder: what lies there is resumed or parked; at the end, a manifest."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from launch.artifacts import remove_partials, sha256_file, write_json
from launch.stages import Stage
from launch.state.manifests import (
    Intent,
    Record,
    differs,
    identify,
    manifest_path,
    output_files,
    read_manifest,
    read_started,
    started_path,
)
from launch.state.parking import bring_back, complete_moves, discard, park, refuse_links, slots
from launch.stopping import stopped_path
from launch.watch.beats import beat


def begin(run_dir: Path, stage: Stage, intent: Intent) -> bool:
    """Make the stage's place ready; True if a start with the same intent was stopped before and goes on."""
    refuse_links(run_dir, stage)
    complete_moves(run_dir, stage)
    resumable = read_manifest(run_dir, stage) is None and _same(read_started(run_dir, stage), intent, stage)
    if not resumable:
        park(run_dir, stage)
        stopped = next((slot for slot in slots(run_dir, stage) if _same(slot.started(), intent, stage)), None)
        if stopped is not None and stopped.manifest() is None:
            bring_back(run_dir, stopped)
            resumable = True
    for folder in stage.folders:
        remove_partials(run_dir / folder)
    stopped_path(run_dir, stage).unlink(missing_ok=True)
    write_json(started_path(run_dir, stage), intent.as_json())
    return resumable


def revive(run_dir: Path, stage: Stage, intent: Intent) -> bool:
    """Put a finished result back that waits and was made by just this intent; True if there was one."""
    complete_moves(run_dir, stage)
    slot = next((slot for slot in slots(run_dir, stage) if _same(slot.manifest(), intent, stage)), None)
    if slot is None:
        return False
    refuse_links(run_dir, stage)
    park(run_dir, stage)
    bring_back(run_dir, slot)
    return True


def finish(run_dir: Path, stage: Stage, intent: Intent, *, external: Iterable[Path], facts: Record) -> None:
    """Write the manifest of a stage that has written all its files.

    Args:
        facts: what does not decide: seconds, ranks, versions of packages, the machine.
    """
    outputs = {}
    for path in output_files(run_dir, stage):
        stat = path.stat()
        name = path.relative_to(run_dir).as_posix()
        outputs[name] = {"bytes": stat.st_size, "sha256": sha256_file(path), "mtime_ns": stat.st_mtime_ns}
        beat()
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
    discard(run_dir, stage)


def _same(record: Record | None, wanted: Intent, stage: Stage) -> bool:
    return record is not None and differs(record, wanted, stage) is None
