"""The language model has a part in the final list where valid shows a gain by user, and nowhere else."""

import dataclasses

import numpy as np
import pytest

from evaluation.config import EvaluationConfig
from evaluation.list_ranker.final import TREES, ListRanker
from evaluation.list_ranker.llm_share import LLM, WEIGHTS, LlmShare, _cross_chosen, choose_llm_share, gain_on, ranks_of
from evaluation.metrics.metrics import one_metric
from evaluation.metrics.shared import Batches
from evaluation.ranked_lists import RankedLists
from evaluation.systems.mixture import Mixture
from launch.summary import llm_adds
from pairs.tables import Samples
from tests.evaluation_runs import sources_of
from tests.unit.evaluation.list_ranker.test_list_ranker import ITEMS, TRAIN, VALID, fitted, tasteful

CONFIG = EvaluationConfig(ranker_samples=600, ranker_depth=20, bootstrap_resamples=300, selection_metric="mrr")
BATCHES = Batches(VALID, ITEMS, None)
MIXTURE = Mixture({"popularity": 1.0}, {"baseline_fusion": 1.0})
TEST = tasteful(150, seed=3, first_user=700)


@pytest.fixture(scope="module")
def ranker() -> ListRanker:
    return dataclasses.replace(fitted(TRAIN, VALID, ITEMS), weights={TREES: 1.0})


def llm_lists(samples: Samples, *, knows: float, seed: int) -> dict[str, RankedLists]:
    """Ten items each, of which the first is the target in a share of the lists."""
    random = np.random.default_rng(seed)
    items = np.stack([random.permutation(np.array(ITEMS.ids(int(domain))))[:10] for domain in samples.domain])
    told = random.random(len(samples)) < knows
    for row in np.flatnonzero(told):
        others = items[row][items[row] != samples.target[row]]
        items[row] = [samples.target[row], *others[:9]]
    scores = np.broadcast_to(-np.arange(10, dtype=np.float32), items.shape).copy()
    return {"llm": RankedLists(samples.sample, items, scores)}


def test_a_model_that_knows_targets_gets_a_weight_and_a_gain_on_test(ranker: ListRanker) -> None:
    chosen, share = choose_llm_share(BATCHES, ranker, MIXTURE, llm_lists(VALID, knows=0.5, seed=1), CONFIG, seed=1)
    assert chosen is not None
    assert share is not None
    assert chosen.weights == {TREES: 1.0, LLM: share.weight}
    assert share.weight == share.best
    assert share.weight in WEIGHTS
    assert share.gain["mrr"].low > 0
    assert share.slices["all"] == share.gain
    in_x = float((VALID.domain == 0).mean())
    parts = in_x * share.slices["X"]["mrr"].mean + (1 - in_x) * share.slices["Y"]["mrr"].mean
    assert parts == pytest.approx(share.gain["mrr"].mean)
    gain = gain_on(TEST, chosen, MIXTURE, sources_of(TEST, llm_lists(TEST, knows=0.5, seed=2)), CONFIG, seed=1)
    assert gain["mrr"].low > 0
    (line,) = llm_adds({"llm_adds": share.to_json(gain)})
    assert line.startswith(f"The language model has weight {share.weight:g} in the final list: hr@10 +")
    assert line.endswith("on test, paired by user.")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_model_that_knows_nothing_gets_none(ranker: ListRanker, seed: int) -> None:
    chosen, share = choose_llm_share(BATCHES, ranker, MIXTURE, llm_lists(VALID, knows=0.0, seed=seed), CONFIG, seed=1)
    assert chosen is ranker
    assert share is not None
    assert share.weight == 0
    assert share.slices["all"]["hr@10"].low <= 0
    (line,) = llm_adds({"llm_adds": share.to_json()})
    assert line.startswith(f"The language model adds nothing here: its weight is 0 (at {share.best:g}: hr@10 ")


def test_the_gain_is_that_of_two_final_lists(ranker: ListRanker) -> None:
    lists = llm_lists(TEST, knows=0.5, seed=2)
    with_it = dataclasses.replace(ranker, weights={TREES: 1.0, LLM: 2.0})
    first, second = ranks_of([with_it, ranker], Batches(TEST, ITEMS, None), MIXTURE, lists, CONFIG)
    gain = gain_on(TEST, with_it, MIXTURE, sources_of(TEST, lists), CONFIG, seed=1)
    assert gain["mrr"].mean == pytest.approx((one_metric(first, "mrr") - one_metric(second, "mrr")).mean())


def test_a_half_is_judged_with_the_weight_of_the_other() -> None:
    users = np.repeat(np.arange(40), 2)
    valid = dataclasses.replace(VALID.take(np.arange(80)), user=users)
    everywhere = _cross_chosen(np.stack([np.zeros(80), np.ones(80), np.zeros(80)]), valid, seed=1)
    assert (everywhere == 1).all()
    own = 1 + (np.random.default_rng(1).permutation(40) % 2)[users]  # each half has a best weight of its own
    gains = np.stack([np.zeros(80), own == 1, own == 2]).astype(float)
    crossed = _cross_chosen(gains, valid, seed=1)
    assert (crossed == 3 - own).all()
    assert gains[crossed, np.arange(80)].sum() == 0, "every user gets the weight that is bad for her"


def test_what_is_crossed_is_never_above_what_is_best_on_all(ranker: ListRanker) -> None:
    lists = llm_lists(VALID, knows=0.02, seed=4)
    _, share = choose_llm_share(BATCHES, ranker, MIXTURE, lists, CONFIG, seed=1)
    assert share is not None
    best = dataclasses.replace(ranker, weights={TREES: 1.0, LLM: share.best})
    first, second = ranks_of([best, ranker], BATCHES, MIXTURE, lists, CONFIG)
    assert share.gain["mrr"].mean <= (one_metric(first, "mrr") - one_metric(second, "mrr")).mean()


def test_without_lists_or_trees_there_is_nothing_to_choose(ranker: ListRanker) -> None:
    assert choose_llm_share(BATCHES, ranker, MIXTURE, {}, CONFIG, seed=1) == (ranker, None)
    lists = llm_lists(VALID, knows=0.5, seed=1)
    nothing: tuple[ListRanker | None, LlmShare | None] = (None, None)
    assert choose_llm_share(BATCHES, None, MIXTURE, lists, CONFIG, seed=1) == nothing
    assert llm_adds({}) == []
    assert llm_adds({"llm_adds": None}) == []
