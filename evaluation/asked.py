"""Samples of valid and test that are asked about: all, or those that the graph stage made lists of."""

import logging
from pathlib import Path
from typing import Literal

import numpy as np

from evaluation.ranked_lists import read_samples
from launch.distributed import World
from launch.errors import InputError
from pairs.tables import Samples, load_samples

log = logging.getLogger(__name__)


def load_asked(run_dir: Path, split: Literal["valid", "test"], world: World | None = None) -> Samples:
    """The samples in the graph stage's own list (`graph.held_out_lists`); all of the split in a run without that stage.
    With several ranks a collective: the first says whether there is a list.

    InputError if it is of another pair.
    """
    samples = load_samples(run_dir, split)
    path = run_dir / "lists" / f"graph_{split}.parquet"
    if not (path.is_file() if world is None else world.ask_main(path.is_file)):
        return samples
    listed = read_samples(path)
    is_listed = np.isin(samples.sample, listed)
    if int(is_listed.sum()) != len(listed):
        raise InputError(f"{path}: not of the samples of pair/{split}.parquet; run `kinrec pretrain` again")
    if len(listed) == len(samples):
        return samples
    log.info("%d of %d samples of %s are asked about (graph.held_out_lists)", len(listed), len(samples), split)
    return samples.take(np.flatnonzero(is_listed))
