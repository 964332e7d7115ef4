"""Fit the baselines of the table on train and tune them on valid, each over its small grid."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from evaluation.candidates.asked import Scorer
from evaluation.candidates.choice import pool_of
from evaluation.config import EvaluationConfig
from evaluation.metrics.ranks import DomainSamples, Ranks, target_ranks, without_history
from evaluation.metrics.shared import over_batches, share_rows
from evaluation.systems.baseline_table import BASELINE_TABLE, Grid, Material, Parameters
from evaluation.systems.selection import simplest_of
from launch.distributed import World
from pairs.draws import sample_of_users
from pairs.tables import Items, Samples

log = logging.getLogger(__name__)


@dataclass
class Baselines:
    """Fitted baselines and how they came to be."""

    material: Material
    scorers: dict[str, Scorer] = field(default_factory=dict)
    parameters: dict[str, Parameters] = field(default_factory=dict)
    """What was chosen on valid, by baseline."""
    seconds: dict[str, float] = field(default_factory=dict)
    ridge_users: int = 0
    train_users: int = 0


def fit_baselines(
    train: Samples,
    valid: Samples,
    items: Items,
    *,
    config: EvaluationConfig,
    seed: int,
    others: Samples | None = None,
    sold: Samples | None = None,
    chronological: bool = False,
    world: World | None = None,
) -> Baselines:
    """Every baseline with the parameters of its grid that serve the valid targets.

    Args:
        others: users of one domain.
        sold: whose purchases are the sales; None: train's and, as far as train goes, those of `others`.
        chronological: whether all of train came before what is asked.
    """
    material = Material(train, items, config.ridge_max_users, seed, others, sold, clock=config.clock)
    fitted = Baselines(material)
    fitted.train_users, fitted.ridge_users = material.bought.shape[0], material.ridge_rows.shape[0]
    if fitted.ridge_users < fitted.train_users:
        log.info("ridge: a random %d of %d users", fitted.ridge_users, fitted.train_users)
    few = sample_of_users(valid, config.tuning_samples, seed)
    for name, baseline in BASELINE_TABLE.items():
        if baseline.needs != "nothing" and material.sales is None:
            log.info("%s: left out, times are not there or not told", name)
            continue
        if baseline.needs == "cut" and not chronological:
            log.info("%s: left out, the split is not one of time", name)
            continue
        started = time.perf_counter()
        fit = partial(baseline.fit, material)
        parameters = _tune(fit, baseline.grid, few, items, config, world) if baseline.grid else {}
        fitted.scorers[name] = fit(**parameters)
        if baseline.grid:
            fitted.parameters[name] = parameters
            fitted.seconds[name] = time.perf_counter() - started
            log.info("%s: %s, %.1f s", name, parameters, fitted.seconds[name])
    material.let_go()
    return fitted


def retune_timed(
    parameters: Mapping[str, Parameters],
    known: Samples,
    valid: Samples,
    items: Items,
    *,
    config: EvaluationConfig,
    seed: int,
    others: Samples | None = None,
    sold: Samples | None = None,
    world: World | None = None,
) -> dict[str, Parameters]:
    """The parameters, those of baselines that read times tuned anew on what `known` tells; `sold` as in
    `fit_baselines`: with it those alone that read sales."""
    material = Material(known, items, config.ridge_max_users, seed, others, sold, clock=config.clock)
    few = sample_of_users(valid, config.tuning_samples, seed)
    tuned = {"sales"} if sold is not None else {"sales", "cut"}
    return {
        name: _tune(partial(BASELINE_TABLE[name].fit, material), BASELINE_TABLE[name].grid, few, items, config, world)
        if BASELINE_TABLE[name].needs in tuned
        else values
        for name, values in parameters.items()
    }


def scorer_ranks(
    scorer: Scorer, samples: Samples, items: Items, config: EvaluationConfig, world: World | None = None
) -> Ranks:
    """Target ranks of one scorer over a split."""

    def of_batch(batch: DomainSamples) -> Ranks:
        scores_BC = batch.score(scorer)
        return target_ranks(without_history(scores_BC, batch) if config.filter_history else scores_BC, batch)

    ranks_N = np.empty(len(samples))
    pool = pool_of({"": scorer}, {}, items, config)
    for rows, ranks_B in over_batches(of_batch, samples, items, pool, world):
        ranks_N[rows] = ranks_B
    share_rows([ranks_N], samples, items, world, few=pool is not None)
    return ranks_N


def random_users(samples: Samples, most: int, seed: int) -> Samples:
    """All samples, or those of `most` random users."""
    users, user_row_N = np.unique(samples.user, return_inverse=True)
    if len(users) <= most:
        return samples
    drawn = np.random.default_rng(seed).permutation(len(users))[:most]
    return samples.take(np.flatnonzero(np.isin(user_row_N, drawn)))


def _tune(
    fit: Callable[..., Scorer],
    grid: Grid,
    valid: Samples,
    items: Items,
    config: EvaluationConfig,
    world: World | None,
) -> Parameters:
    """Parameter after parameter in the table's order, the others as chosen so far or first in their grid."""
    chosen = {name: values[0] for name, values in grid.items()}
    known: dict[tuple[float, ...], Ranks] = {}
    for name, values in grid.items():
        candidates = [{**chosen, name: value} for value in values]
        for parameters in candidates:
            if tuple(parameters.values()) not in known:
                known[tuple(parameters.values())] = scorer_ranks(fit(**parameters), valid, items, config, world)
        ranks = [known[tuple(parameters.values())] for parameters in candidates]
        chosen = simplest_of(candidates, ranks, valid.user, config.selection_metric).candidate
    return chosen
