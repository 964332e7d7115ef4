"""Fit the list ranker: LambdaMART (Burges, 2010: From RankNet to LambdaRank to LambdaMART) as LightGBM has it.

It learns from the blocks' lists, is stopped by valid's, and is small: what it learns is how far to trust each source.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np

from evaluation.candidates.choice import pool_of
from evaluation.config import EvaluationConfig
from evaluation.list_ranker.bank import Bank
from evaluation.matrices import Floats
from evaluation.metrics.ranks import DomainSamples
from evaluation.metrics.shared import in_batch_order, over_batches
from launch.distributed import World
from launch.processes.threads import num_threads, side_by_side
from pairs.tables import Ints, Samples

log = logging.getLogger(__name__)
LEAST_LISTS = 200
"""Lists with their target among the candidates; with fewer nothing is fitted."""
TAUGHT_DEPTH = 50
"""Of each source's list, what the trees learn from; further down there is little but noise."""
MOST_ROUNDS, PATIENCE = 200, 50
FITS = 4
"""With unlike seeds, to be averaged: what one draw of lists and features happens to favour cancels out."""
SETTINGS = {
    "objective": "lambdarank",
    "metric": "ndcg",
    "eval_at": [10],
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_data_in_leaf": 50,
    "lambda_l2": 5.0,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambdarank_truncation_level": 20,
    "lambdarank_norm": False,
    "max_bin": 63,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,  # threads wait for each other at every split: beside other work two take 30 times as long as one
    "verbosity": -1,
}


@dataclass(frozen=True)
class Lists:
    """Candidates of L samples whose target is among them, list after list."""

    features: Floats  # [P, F]
    is_target: Floats  # [P]
    lengths: Ints  # [L]

    def __len__(self) -> int:
        return len(self.lengths)


def make_lists(
    bank: Bank, samples: Samples, config: EvaluationConfig, world: World | None = None, *, sold_only: bool = False
) -> Lists:
    """The candidates of `samples`. Lists without their target teach nothing and are left out.

    Args:
        sold_only: without candidates that nobody has bought, as far as is known.
    """
    parts = list(_lists_of(bank, samples, config, world, sold_only))
    width = len(bank.names)
    empty = (np.zeros((0, width), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    columns = [np.concatenate(column) for column in zip(empty, *parts, strict=True)]
    sizes = [np.array([len(part[place]) for part in parts], dtype=np.int64) for place in range(len(columns))]
    features, targets, lengths = in_batch_order(columns, sizes, world)
    return Lists(features, targets, lengths)


def _lists_of(
    bank: Bank, samples: Samples, config: EvaluationConfig, world: World | None, sold_only: bool
) -> Iterator[tuple[Floats, Floats, Ints]]:
    def of_batch(batch: DomainSamples) -> tuple[Floats, Floats, Ints]:
        candidates = bank.candidates(
            batch, bank.scores(batch), depth=config.ranker_depth, filter_history=config.filter_history
        )
        candidates = candidates.take(candidates.best_place < TAUGHT_DEPTH)
        if sold_only:
            candidates = candidates.take(~bank.never_sold(batch, candidates))
        target_P = batch.samples.target[candidates.row] == batch.item_at(candidates.row, candidates.column)
        has_target_B = np.bincount(candidates.row[target_P], minlength=len(batch.rows)) > 0
        kept_P = has_target_B[candidates.row]
        features, row, target = candidates.features[kept_P], candidates.row[kept_P], target_P[kept_P]
        order = np.lexsort((fingerprint(features), row))  # an order that no id decides
        lengths = np.bincount(row, minlength=len(batch.rows))
        return features[order], target[order].astype(np.float32), lengths[lengths > 0]

    pool = pool_of(bank.scorers, bank.given, bank.items, config)
    for _, lists in over_batches(of_batch, samples, bank.items, pool, world):
        yield lists


def fingerprint(features_PF: Floats) -> "np.typing.NDArray[np.float64]":
    """[P] a number by which rows can be put in order; rows with equal features have equal ones."""
    weights_F = np.random.default_rng(0).random(features_PF.shape[1])
    return features_PF.astype(np.float64) @ weights_F


def joined_lists(parts: list[Lists]) -> Lists:
    """All lists, one after the other."""
    return Lists(
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.is_target for part in parts]),
        np.concatenate([part.lengths for part in parts]),
    )


def fit_trees(train: Lists, valid: Lists, names: list[str], *, seed: int) -> tuple[lightgbm.Booster, ...]:
    """Trees that order candidates, `FITS` times; each time as many as serve valid."""
    fitted_on = _dataset(train, names, seed)
    stopped_by = _dataset(valid, names, seed, like=fitted_on)

    def fit(number: int) -> lightgbm.Booster:
        stop_early = lightgbm.early_stopping(PATIENCE, verbose=False)
        return lightgbm.train(
            _settings(seed, number), fitted_on, MOST_ROUNDS, valid_sets=[stopped_by], callbacks=[stop_early]
        )

    fits = tuple(side_by_side(fit, range(FITS), threads=num_threads()))
    trees = [booster.best_iteration for booster in fits]
    log.info("list ranker: %d lists of %d candidates, %s trees", len(train), len(train.features), trees)
    return fits


def refit_trees(
    fits: Sequence[lightgbm.Booster], lists: Lists, names: list[str], *, seed: int
) -> tuple[lightgbm.Booster, ...]:
    """As many trees as each of `fits` has, fitted on other lists."""
    fitted_on = _dataset(lists, names, seed)

    def fit(number: int) -> lightgbm.Booster:
        rounds = fits[number].best_iteration or fits[number].num_trees()
        return lightgbm.train(_settings(seed, number), fitted_on, rounds)

    return tuple(side_by_side(fit, range(len(fits)), threads=num_threads()))


def _dataset(lists: Lists, names: list[str], seed: int, like: lightgbm.Dataset | None = None) -> lightgbm.Dataset:
    """Ready before threads share it; in the bins of another where there is one."""
    return lightgbm.Dataset(
        lists.features,
        lists.is_target,
        group=lists.lengths,
        reference=like,
        feature_name=[name.replace(" ", "_") for name in names],
        params=_settings(seed, 0),
    ).construct()


def _settings(seed: int, number: int) -> dict[str, Any]:  # Any: as LightGBM takes them
    return SETTINGS | {"seed": FITS * seed + number}
