"""Fit the baselines on train and tune them on valid, each over a small grid."""

import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from evaluation.config import EvaluationConfig
from evaluation.matrices import transition_matrix, user_item_matrix
from evaluation.metrics.ranks import Ranks, batches, target_ranks, without_history
from evaluation.systems.baselines import ItemCosine, Markov, Popularity, Scorer, Text, text_vectors
from evaluation.systems.ridge import Ridge, sample_users
from evaluation.systems.selection import simplest_of
from pairs.tables import Items, Samples

log = logging.getLogger(__name__)

Parameters: TypeAlias = dict[str, float]
Grid: TypeAlias = dict[str, tuple[float, ...]]

# The first value of each is METHOD 7's; another is taken only if valid favours it by more than one standard error.
MARKOV_GRID: Grid = {"within_domain": (1.0, 0.0), "decay": (0.8, 0.5, 0.0)}
COSINE_GRID: Grid = {"exponent": (0.3, 0.4, 0.5), "decay": (0.9, 0.8, 1.0)}
RIDGE_GRID: Grid = {"penalty": (200.0, 50.0, 800.0), "weight": (0.5,), "decay": (0.9, 0.8, 1.0)}
TEXT_GRID: Grid = {"decay": (0.8, 0.6, 0.9, 1.0)}


@dataclass
class Baselines:
    """Fitted baselines and how they came to be."""

    scorers: dict[str, Scorer] = field(default_factory=dict)
    parameters: dict[str, Parameters] = field(default_factory=dict)
    """What was chosen on valid, by baseline."""
    seconds: dict[str, float] = field(default_factory=dict)
    ridge_users: int = 0
    train_users: int = 0


def fit_baselines(train: Samples, valid: Samples, items: Items, *, config: EvaluationConfig, seed: int) -> Baselines:
    """Every baseline with the parameters of its grid that serve the valid targets."""
    fitted = Baselines()
    bought_UI = user_item_matrix(train, items.num_items)
    ridge_UI = sample_users(bought_UI, config.ridge_max_users, seed)
    fitted.train_users, fitted.ridge_users = bought_UI.shape[0], ridge_UI.shape[0]
    if fitted.ridge_users < fitted.train_users:
        log.info("ridge: a random %d of %d train users", fitted.ridge_users, fitted.train_users)
    transitions = {
        within: transition_matrix(train, items.domain, within_domain=bool(within))
        for within in MARKOV_GRID["within_domain"]
    }
    vectors_IV = text_vectors(items.titles, items.attributes)

    def markov(within_domain: float, decay: float) -> Scorer:
        return Markov(transitions[within_domain], items, decay=decay)

    def item_cosine(exponent: float, decay: float) -> Scorer:
        return ItemCosine(bought_UI, items, exponent=exponent, decay=decay)

    def ridge(penalty: float, weight: float, decay: float) -> Scorer:
        return Ridge(ridge_UI, items, penalty=penalty, weight=weight, decay=decay)

    def text(decay: float) -> Scorer:
        return Text(vectors_IV, items, decay=decay)

    fitted.scorers["popularity"] = Popularity(items)
    few = sample_of_users(valid, config.tuning_samples, seed)
    for name, build, grid in (
        ("markov", markov, MARKOV_GRID),
        ("item_cosine", item_cosine, COSINE_GRID),
        ("ridge", ridge, RIDGE_GRID),
        ("text", text, TEXT_GRID),
    ):
        started = time.perf_counter()
        fitted.parameters[name] = _tune(build, grid, few, items, config)
        fitted.scorers[name] = build(**fitted.parameters[name])
        fitted.seconds[name] = time.perf_counter() - started
        log.info("%s: %s, %.1f s", name, fitted.parameters[name], fitted.seconds[name])
    return fitted


def scorer_ranks(scorer: Scorer, samples: Samples, items: Items, *, filter_history: bool) -> Ranks:
    """Target ranks of one scorer over a split."""
    ranks_N = np.empty(len(samples))
    for batch in batches(samples, items):
        scores_BC = scorer.score(batch.samples, batch.domain)
        if filter_history:
            scores_BC = without_history(scores_BC, batch)
        ranks_N[batch.rows] = target_ranks(scores_BC, batch)
    return ranks_N


def sample_of_users(samples: Samples, most: int, seed: int) -> Samples:
    """All samples, or those of random users: as many whole users as fit into `most` samples, at least one."""
    if len(samples) <= most:
        return samples
    users, user_row_N, counts_U = np.unique(samples.user, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(users))
    num_users = max(1, int(np.searchsorted(np.cumsum(counts_U[order]), most, side="right")))
    return samples.take(np.flatnonzero(np.isin(user_row_N, order[:num_users])))


def _tune(
    build: Callable[..., Scorer],
    grid: Grid,
    valid: Samples,
    items: Items,
    config: EvaluationConfig,
) -> Parameters:
    combinations = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    ranks = [
        scorer_ranks(build(**parameters), valid, items, filter_history=config.filter_history)
        for parameters in combinations
    ]
    return simplest_of(combinations, ranks, valid.user, config.selection_metric).candidate
