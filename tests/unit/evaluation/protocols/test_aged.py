"""Under `train` test is ranked by what was chosen at the age that train has then, from nothing that came later."""

import dataclasses
from functools import cache

import numpy as np
import pytest

from evaluation.chosen import Chosen
from evaluation.list_ranker.knowledge import Timeline, age_before_test
from evaluation.matrices import DAY
from evaluation.protocols.side_by_side import choice_under
from evaluation.sales import Sales
from evaluation.systems.baseline_table import WORDS
from evaluation.systems.baselines import Recent
from evaluation.systems.tuning import retune_timed, scorer_ranks
from pairs.tables import Samples
from tests.evaluation_runs import make_items
from tests.unit.evaluation.protocols.choices import chosen_under, split_at
from tests.unit.evaluation.protocols.test_protocols import CONFIG
from tests.unit.evaluation.test_sales import events_of, timed_samples

TRAIN = Timeline(chronological=True, knowledge="train")


def parts(*, num_users: int = 9000, until: tuple[int, int] = (40, 50)) -> tuple[Samples, Samples, Samples]:
    return split_at(timed_samples(num_users=num_users), until)


@cache
def chosen() -> Chosen:
    return chosen_under(TRAIN, *parts())


@pytest.mark.parametrize(
    "protocol",
    [Timeline(True, "refit"), Timeline(False, "rolling"), Timeline(False, "train"), Timeline(False, "refit")],
)
def test_elsewhere_what_was_chosen_stays(protocol: Timeline) -> None:
    assert choice_under(chosen(), protocol) is chosen()


def test_the_age_is_how_long_valid_lasts() -> None:
    train, valid, test = parts()
    under = choice_under(chosen(), TRAIN)
    assert under.age == age_before_test(train, valid)
    assert 9 * DAY < under.age < 11 * DAY
    assert test.target_time is not None
    assert train.target_time is not None
    assert test.target_time.min() - train.target_time.max() >= under.age


def test_no_target_of_test_decides() -> None:
    train, valid, test = parts()
    other = dataclasses.replace(test, target=np.roll(test.target, 3))
    first, second = choice_under(chosen(), TRAIN), choice_under(chosen_under(TRAIN, train, valid, other), TRAIN)
    assert first.baselines.parameters == second.baselines.parameters
    assert first.mixture == second.mixture
    assert (first.ranker is None) == (second.ranker is None)
    if first.ranker is not None and second.ranker is not None:
        assert [trees.model_to_string() for trees in first.ranker.trees] == [
            trees.model_to_string() for trees in second.ranker.trees
        ]


def test_half_lives_are_tuned_anew_and_nothing_else_is() -> None:
    train, valid, _ = parts()
    items = make_items(30, 30)
    parameters = {"recent": {"half_life_x": 30.0, "half_life_y": 30.0}, WORDS: {"decay": 0.8, "cross": 0.5}}
    tuned = retune_timed(parameters, train, valid, items, config=CONFIG, seed=1)
    assert tuned[WORDS] == parameters[WORDS]
    sales = Sales.of_samples(train, items.num_items)
    assert sales is not None
    values = {}
    for half_life in (30.0, 7.0, 3.0, 14.0, 90.0, 365.0):
        scorer = Recent(sales, items, half_lives=(half_life, 30.0))
        values[half_life] = float((scorer_ranks(scorer, valid, items, CONFIG) <= 10).mean())
    error = np.sqrt(max(values.values()) / len(valid))
    assert values[tuned["recent"]["half_life_x"]] >= max(values.values()) - 2 * error


def test_a_train_that_is_shorter_than_valid_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    train, valid, test = parts(num_users=600, until=(20, 50))
    only = train.take(np.flatnonzero(np.diff(train.offsets) == 1))
    assert only.target_time is not None
    late = only.take(np.argsort(only.target_time)[-20:])
    start = min(time for _, _, time in events_of(late))
    assert valid.target_time is not None
    assert late.target_time is not None
    assert late.target_time.max() - start < valid.target_time.max() - late.target_time.max()
    picked = chosen_under(TRAIN, late, valid, test)
    assert choice_under(picked, TRAIN) is picked
    assert "nothing was known" in caplog.text
