"""Where no two items share a word, text is in no fusion; it stays in the report, alone."""

import logging

import numpy as np
import pytest

from evaluation.config import EvaluationConfig
from evaluation.metrics.shared import Batches
from evaluation.systems.mixture import baseline_sets, choose_mixture
from evaluation.systems.tuning import fit_baselines
from pairs.tables import Items
from tests.evaluation_runs import make_samples


def items(titles: list[str]) -> Items:
    count = len(titles)
    domain = (np.arange(count) >= count // 2).astype(np.int8)
    ids = [f"B{item}" for item in range(count)]
    return Items(domain=domain, source_ids=ids, titles=titles, attributes=[""] * count, train_count=np.ones(count, int))


@pytest.mark.parametrize("worded", [True, False])
def test_text_without_words_is_in_no_fusion(worded: bool, caplog: pytest.LogCaptureFixture) -> None:
    random = np.random.default_rng(0)
    catalogue = items([f"ink{item % 4 if worded else item}" for item in range(24)])
    rows = []
    for user in range(40):
        domain = user % 2
        history = random.choice(24, 5, replace=False).tolist()
        rows.append((user, domain, history, int(random.integers(0, 12)) + 12 * domain))
    train, valid = make_samples(rows[:28]), make_samples(rows[28:], first=28)
    config = EvaluationConfig()
    baselines = fit_baselines(train, valid, catalogue, config=config, seed=0)
    with caplog.at_level(logging.WARNING, logger="evaluation.systems.mixture"):
        mixture, _ = choose_mixture(Batches(valid, catalogue, None), baselines.scorers, {}, config)
    assert "text" in baselines.scorers
    assert ("text is left out of the fusions" in caplog.text) is not worded
    if not worded:
        assert "text" not in mixture.baselines


def test_sets_hold_only_baselines_that_are_there() -> None:
    assert all("text" not in names for names in baseline_sets(["ridge", "item_cosine", "markov", "popularity"]))
    assert ("ridge", "item_cosine") in baseline_sets(["ridge", "item_cosine", "markov", "popularity"])
