"""Under `rolling` test is ranked by what was chosen where sales are counted up to each question."""

import dataclasses
from functools import cache

import numpy as np

from evaluation.chosen import Chosen, Clock, choose
from evaluation.list_ranker.bank import user_counts
from evaluation.list_ranker.knowledge import Timeline
from evaluation.matrices import DAY
from evaluation.protocols.side_by_side import choice_under
from evaluation.systems.judging import judge
from pairs.tables import Samples
from tests.evaluation_runs import make_samples, sources_of
from tests.unit.evaluation.protocols.choices import chosen_under, split_at
from tests.unit.evaluation.protocols.test_protocols import CONFIG, NUM_ITEMS, inputs_of

REFIT, ROLLING = Timeline(True, "refit"), Timeline(True, "rolling")


def fashions(*, num_users: int = 6000, days: int = 60) -> Samples:
    """Half of all purchases of a day are of the day's item; who does not know today's sales cannot tell which it is."""
    random = np.random.default_rng(3)
    of_day = random.integers(0, NUM_ITEMS, days)
    rows, times, target_times = [], [], []
    for user in range(num_users):
        when = np.sort(random.integers(0, days * DAY, int(random.integers(2, 5))))
        bought = np.where(random.random(len(when)) < 0.5, of_day[when // DAY], random.integers(0, NUM_ITEMS, len(when)))
        rows.append((user, 0, bought[:-1].tolist(), int(bought[-1])))
        times += when[:-1].tolist()
        target_times.append(when[-1])
    samples = make_samples(rows)
    return dataclasses.replace(samples, history_time=np.array(times), target_time=np.array(target_times))


@cache
def parts() -> tuple[Samples, Samples, Samples]:
    return split_at(fashions(), (40, 50))


@cache
def chosen() -> Chosen:
    return chosen_under(REFIT, *parts())


def mrr(choice: Chosen, system: str) -> float:
    """On test, asked as of each question."""
    fitted, test = choice.of_test(ROLLING), parts()[2]
    sources = sources_of(test)
    ranks = judge(
        test, choice.inputs.pair.items,
        scorers=fitted.bank.scorers, mixture=fitted.mixture, sources=sources, config=choice.inputs.config,
        final=fitted.final, ways=(True,),
    ).ranks  # fmt: skip
    return float((1 / ranks[system]).mean())


def test_trees_that_were_asked_so_trust_the_sales_of_today() -> None:
    rolling = choice_under(chosen(), ROLLING)
    assert rolling.ranker is not None
    assert rolling.later is not None
    assert rolling.later.taught is not None
    assert mrr(rolling, "kinrec") > 1.1 * mrr(chosen(), "kinrec")
    assert mrr(rolling, "kinrec") > mrr(rolling, "recent")


def test_what_goes_together_is_as_in_refit() -> None:
    rolling = choice_under(chosen(), ROLLING)
    assert rolling.baselines.parameters["item_cosine"] == chosen().baselines.parameters["item_cosine"]
    assert choice_under(chosen(), REFIT) is chosen()


def test_no_target_of_test_that_is_bought_later_decides() -> None:
    """What valid and train are asked comes before all of test's targets."""
    train, valid, test = parts()
    other = dataclasses.replace(test, target=np.roll(test.target, 3))
    first, second = choice_under(chosen(), ROLLING), choice_under(chosen_under(REFIT, train, valid, other), ROLLING)
    assert first.baselines.parameters == second.baselines.parameters
    assert first.mixture == second.mixture
    assert first.later is not None
    assert second.later is not None
    assert [trees.model_to_string() for trees in first.later.trees] == [
        trees.model_to_string() for trees in second.later.trees
    ]


def test_a_run_that_is_judged_so_from_the_start_stays() -> None:
    inputs = dataclasses.replace(chosen().inputs, config=dataclasses.replace(CONFIG, knowledge="rolling"))
    rolling = dataclasses.replace(chosen(), inputs=inputs)
    assert choice_under(rolling, ROLLING) is rolling


def test_popularity_counts_users_of_train_whatever_the_catalogue_counts() -> None:
    """So that valid, and test under each protocol, are ranked by one popularity."""
    assert chosen().bank.items.train_count.tolist() == user_counts(parts()[0], NUM_ITEMS).tolist()


def test_a_rolling_report_has_the_refit_of_a_refit_report() -> None:
    """Whichever way sales are counted in the report itself: the same half-lives, the same trees."""
    train, valid, test = parts()
    inputs = inputs_of(train, valid, test)

    def reported(protocol: Timeline) -> Chosen:
        config = dataclasses.replace(CONFIG, ranker_depth=15, knowledge=protocol.knowledge)
        return choose(dataclasses.replace(inputs, config=config), protocol, sources_of(valid), Clock())

    own, rolling = reported(REFIT), reported(ROLLING)
    refit = choice_under(rolling, REFIT)
    assert refit.baselines.parameters == own.baselines.parameters != rolling.baselines.parameters
    assert refit.mixture == own.mixture
    assert (refit.later is None) == (own.later is None) != (rolling.later is None)
