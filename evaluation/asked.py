"""Samples of valid and test that are asked about: all, or those that the graph stage drew and made lists of."""

import logging
from pathlib import Path
from typing import Literal

import numpy as np

from evaluation.ranked_lists import read_samples
from launch.artifacts import read_json
from launch.distributed import World
from launch.errors import InputError
from pairs.tables import Samples, load_samples

log = logging.getLogger(__name__)


def load_asked(run_dir: Path, split: Literal["valid", "test"], world: World | None = None) -> Samples:
    """The samples of a split or, where `graph.held_out_lists` is below their number, those of the graph stage's list.
    With several ranks a collective: the first says what that stage was told.

    InputError if the list is of another pair, or is not of as many whole users as fit.
    """
    samples = load_samples(run_dir, split)
    most: int | None = _held_out_lists(run_dir) if world is None else world.ask_main(lambda: _held_out_lists(run_dir))
    if most is None or len(samples) <= most:
        return samples
    path = run_dir / "lists" / f"graph_{split}.parquet"
    listed = read_samples(path)
    rows = np.flatnonzero(np.isin(samples.sample, listed))
    _, user_N, counts_U = np.unique(samples.user, return_inverse=True, return_counts=True)
    whole = int(counts_U[np.unique(user_N[rows])].sum())
    largest = int(counts_U.max())
    if len(rows) != len(listed) or whole != len(rows) or not most - largest < whole <= max(most, largest):
        raise InputError(
            f"{path}: {len(listed)} samples that are not those of as many whole users of pair/{split}.parquet as "
            f"graph.held_out_lists={most} has room for; run `kinrec pretrain` again"
        )
    log.info("%d of %d samples of %s are asked about (graph.held_out_lists)", len(rows), len(samples), split)
    return samples.take(rows)


def _held_out_lists(run_dir: Path) -> int | None:
    """As the graph stage was told; None in a run without it."""
    path = run_dir / "graph" / "model.json"
    told = read_json(path).get("held_out_lists") if path.is_file() else None
    return None if told is None else int(told)
