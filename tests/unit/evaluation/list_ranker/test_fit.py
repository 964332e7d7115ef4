"""The list ranker's fits do not depend on who else is being fitted meanwhile."""

from collections.abc import Iterator

import lightgbm
import numpy as np
import pytest
import torch

from evaluation.list_ranker.fit import FITS, Lists, fit_trees, refit_trees

NAMES = ["shown", "hidden place", "noise"]


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def lists(count: int, *, seed: int) -> Lists:
    """Of twelve candidates, whose target mostly has the largest first feature."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(count * 12, len(NAMES))).astype(np.float32)
    best = (features[:, 0] + random.gumbel(size=count * 12) / 2).reshape(count, 12).argmax(axis=1)
    is_target = np.zeros(count * 12, dtype=np.float32)
    is_target[np.arange(count) * 12 + best] = 1
    return Lists(features, is_target, np.full(count, 12))


def told(fits: tuple[lightgbm.Booster, ...]) -> list[str]:
    return [booster.model_to_string(num_iteration=-1) for booster in fits]


@pytest.mark.usefixtures("threads")
def test_threads_that_share_the_fits_make_the_trees_that_one_makes() -> None:
    taught, stopping = lists(300, seed=1), lists(150, seed=2)
    made = []
    for number in (1, 3):
        torch.set_num_threads(number)
        fits = fit_trees(taught, stopping, NAMES, seed=5)
        made.append(told(fits) + told(refit_trees(fits, taught, NAMES, seed=5)))
    assert made[0] == made[1]
    assert len(set(made[0][:FITS])) == FITS, "each fit draws for itself"
    assert fits[0].feature_importance("gain").argmax() == 0
