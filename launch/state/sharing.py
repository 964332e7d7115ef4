"""Sharing: a run takes over stages that another run has finished from just the same configuration, seed and inputs.

Files are hard links where the file system allows, else copies: nobody changes a finished file in place, each appears
by rename, so what one run makes anew leaves the other's as it is.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from launch.artifacts import atomic_file, write_json
from launch.processes.lock import hold_lock
from launch.stages import STAGES, Stage, stage_named
from launch.state.manifests import manifest_path, read_manifest, started_path
from launch.state.parking import refuse_links
from launch.state.states import State, Told, state_of


def sharable(source: Path, run_dir: Path, recipe: Told, *, stages: Sequence[Stage] = STAGES) -> list[str]:
    """Of `stages`, in order, those that `source` has finished as `recipe` wants them and `run_dir` has nothing of."""
    if not (source / "manifests").is_dir() or source.resolve() == run_dir.resolve():
        return []
    names: list[str] = []
    known: dict[str, State] = {}
    for stage in stages:
        mine = manifest_path(run_dir, stage).exists() or started_path(run_dir, stage).exists()
        if mine or not state_of(source, stage, recipe, outside=False, known=known).holds:
            continue
        upstream = all(name in names or state_of(run_dir, stage_named(name), recipe).holds for name in stage.reads)
        if upstream and all(_same_upstream(source, run_dir, name, names) for name in (*stage.reads, *stage.optional)):
            names.append(stage.name)
    return names


def share(source: Path, run_dir: Path, recipe: Told, *, stages: Sequence[Stage] = STAGES) -> list[str]:
    """Give `run_dir` what `sharable` names; the stages that were shared."""
    with hold_lock(run_dir):
        names = sharable(source, run_dir, recipe, stages=stages)
        for name in names:
            _take_over(source, run_dir, stage_named(name))
    return names


def _same_upstream(source: Path, run_dir: Path, name: str, shared: list[str]) -> bool:
    """Whether a stage that is read is the same in both runs."""
    return name in shared or _fingerprint(source, name) == _fingerprint(run_dir, name)


def _fingerprint(run_dir: Path, name: str) -> str | None:
    manifest = read_manifest(run_dir, stage_named(name))
    return None if manifest is None else str(manifest["fingerprint"])


def _take_over(source: Path, run_dir: Path, stage: Stage) -> None:
    """Every file that the manifest names, then the manifest: a result without its files never looks finished."""
    refuse_links(run_dir, stage)
    manifest = read_manifest(source, stage)
    assert manifest is not None
    for name in manifest["outputs"]:
        _link(source / name, run_dir / name)
    write_json(manifest_path(run_dir, stage), {**manifest, "shared_from": str(source)})


def _link(source: Path, goal: Path) -> None:
    with atomic_file(goal) as partial:
        try:
            os.link(source, partial)
        except OSError:  # another file system, or one without links
            shutil.copy2(source, partial)
