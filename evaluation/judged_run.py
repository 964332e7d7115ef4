"""What a finished run says about one system on one split: its figures, and the rank of every sample's target."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from evaluation.metrics.ranks import Ranks
from launch.artifacts import read_json, sha256_file
from launch.errors import InputError, first_line
from launch.options.bounds import MOST
from launch.stages import stage_named
from launch.state.manifests import read_manifest
from launch.state.states import PlainRecipe, recipe_of, state_of
from launch.terminal import shown

LEAST_RESAMPLES = 100


@dataclass(frozen=True)
class JudgedRun:
    """One run, one system, one split."""

    name: str
    pair: str
    fingerprint: str
    """Of the catalogue and the split: equal ones have the same samples and items."""
    report: str | None
    """Of all that its evaluation wrote; None where the report came without its run's records."""
    recipe: str | None
    """Its recipe but for the seed: equal ones differ by that alone."""
    seed: int | None
    filter_history: bool
    numbers: dict[str, Any]  # Any: plain JSON values
    num_samples: int
    sample: NDArray[np.int64]
    user: NDArray[np.int64]
    ranks: Ranks


def check_resamples(resamples: int) -> None:
    """InputError where an interval could not be made of so many draws."""
    most = MOST["evaluation.bootstrap_resamples"]
    if not LEAST_RESAMPLES <= resamples <= most:
        raise InputError(f"--resamples must be at least {LEAST_RESAMPLES} and at most {most}, got {resamples}")


def read_run(path: Path, *, system: str, split: str) -> JudgedRun:
    """Read one run's report; what is not there, or does not hold any more, is said by name."""
    stage, told = stage_named("evaluate"), recipe_of(path)
    state = state_of(path, stage, told)
    if state.kind not in {"finished", "absent"}:  # absent: a report that came without its run's records
        raise InputError(
            f"{path}: evaluate is {state.kind}{': ' if state.why else ''}{state.why}; "
            f"run `kinrec run {path / 'recipe.yaml'}` first"
        )
    report, ranks_path = path / "report" / "metrics.json", _ranks_path(path, split)
    for needed in (report, ranks_path, *_catalogue(path, split)):
        if not needed.is_file():
            raise InputError(f"{needed}: no such file; run `kinrec evaluate` for {path} first")
    try:
        return _read(path, told, system, split)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path / 'report'}: no report of this version ({first_line(error)}); run `kinrec evaluate` again"
        ) from error


def _read(path: Path, told: PlainRecipe | None, system: str, split: str) -> JudgedRun:
    metrics, table = read_json(path / "report" / "metrics.json"), pq.read_table(_ranks_path(path, split))
    systems = metrics["splits"][split]["systems"]
    if system not in systems or system not in table.column_names:
        raise InputError(f"{path}: no system {system!r}; its report has {', '.join(systems)}")
    ranks_N = table.column(system).cast("double").fill_null(float("inf")).to_numpy()
    manifest = read_manifest(path, stage_named("evaluate"))
    items_path, samples_path = _catalogue(path, split)
    return JudgedRun(
        name=shown(str(path)),
        pair=shown(metrics["pair"]),
        fingerprint=sha256_file(items_path) + sha256_file(samples_path),
        report=None if manifest is None else manifest["fingerprint"],
        recipe=None if told is None else json.dumps(dict(told.sections), sort_keys=True, default=str),
        seed=None if told is None else told.seed,
        filter_history=metrics["settings"]["filter_history"],
        numbers=systems[system]["all"],
        num_samples=metrics["splits"][split]["num_samples"],
        sample=table.column("sample").to_numpy(),
        user=table.column("user").to_numpy(),
        ranks=ranks_N,
    )


def _ranks_path(path: Path, split: str) -> Path:
    return path / "report" / f"ranks_{split}.parquet"


def _catalogue(path: Path, split: str) -> tuple[Path, Path]:
    return path / "pair" / "items.parquet", path / "pair" / f"{split}.arrow"


def why_not_paired(one: JudgedRun, other: JudgedRun) -> str | None:
    """None if both judged the same samples in the same way, else what differs."""
    if one.fingerprint != other.fingerprint:
        return "the prepared pairs differ"
    if one.filter_history != other.filter_history:
        return "only one of them leaves the history's items out"
    if not np.array_equal(np.sort(one.sample), np.sort(other.sample)):
        return "they judged different samples"
    return None
