"""Test once more under each other protocol: the same choices, fitted and asked with more or less knowledge.

On a chronological pair how much is known decides more than any model does; so a report says it for each, with its age,
and apart for targets that are known (warm) and targets that nobody has bought before (cold).
"""

import dataclasses
import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.chosen import Chosen, Inputs
from evaluation.list_ranker.bank import user_counts
from evaluation.list_ranker.knowledge import PROTOCOLS, Timeline, known_to_test
from evaluation.matrices import DAY
from evaluation.metrics.ranks import Ranks
from evaluation.protocols.aged import choose_aged
from evaluation.protocols.by_sales import choose_by_sales
from evaluation.sales import Sales, moments
from evaluation.systems.judging import Verdict, judge
from evaluation.systems.summary import system_table
from evaluation.systems.tuning import random_users
from pairs.known import with_others
from pairs.tables import Ints, Samples

log = logging.getLogger(__name__)
Json = dict[str, Any]  # Any: plain JSON values


def protocol_tables(chosen: Chosen, timeline: Timeline, verdict: Verdict) -> Json:
    """Protocol -> `systems` on test, `slices` (how many targets are warm, how many cold), `age_days` of what is known,
    and whether it is the report's `own`; none where the pair is not chronological.

    Args:
        verdict: test's, under the report's own protocol.
    """
    if not timeline.chronological:
        return {}
    config, judged = chosen.inputs.config, chosen.inputs.judged["test"]
    test = random_users(judged, config.side_users, chosen.inputs.seed)
    rows = judged.row_of(test.sample)
    draws: dict[str, int] = {"resamples": config.bootstrap_resamples, "seed": chosen.inputs.seed}
    tables: Json = {}
    for knowledge in PROTOCOLS:
        protocol = dataclasses.replace(timeline, knowledge=knowledge)
        if not chosen.inputs.may_judge(protocol):
            log.info("no lists of the graph for test under %s: the report has no table of it", knowledge)
            continue
        own = protocol == timeline
        ranks = (
            {name: ranks_N[rows] for name, ranks_N in verdict.ranks.items()}
            if own
            else _ranks(chosen, protocol, test, rows)
        )
        slices = target_slices(chosen.inputs, test, protocol)
        tables[knowledge] = {
            "own": own,
            "age_days": age_days(chosen.inputs.splits, protocol),
            "slices": {name: int(mask_N.sum()) for name, mask_N in slices.items()},
            "systems": system_table(
                ranks, test.user, {name: mask_N for name, mask_N in slices.items() if mask_N.any()}, **draws
            ),
        }
    return tables


def choice_under(chosen: Chosen, protocol: Timeline) -> Chosen:
    """What test is ranked by under a protocol: what was chosen or, where the split is one of time, for `train` what is
    chosen at the age that train has then, for `rolling` what is chosen with sales up to each question."""
    if not protocol.chronological:
        return chosen
    if protocol.knowledge == "train":
        return choose_aged(chosen)
    was_rolling = chosen.inputs.config.knowledge == "rolling"
    return chosen if was_rolling == (protocol.knowledge == "rolling") else choose_by_sales(chosen, protocol)


def _ranks(chosen: Chosen, protocol: Timeline, test: Samples, rows: Ints) -> dict[str, Ranks]:
    """Of test, which are `rows` of what is judged."""
    fitted, sources = choice_under(chosen, protocol).of_test(protocol), chosen.inputs.sources("test", protocol)
    return judge(
        test,
        chosen.inputs.pair.items,
        scorers=fitted.bank.scorers,
        mixture=fitted.mixture,
        sources=sources.part(rows),
        config=chosen.inputs.config,
        final=fitted.final,
        ways=(chosen.inputs.config.filter_history,),
        world=chosen.inputs.world,
    ).ranks


def target_slices(inputs: Inputs, test: Samples, protocol: Timeline) -> dict[str, NDArray[np.bool_]]:
    """Name -> [N] which of test: `all`; `warm_target`, what is known holds the target; `cold_target`, it does not.

    Known is what somebody bought: whose purchases the lists are made from (users of one domain, too) and, under
    `rolling`, everybody strictly before the question.
    """
    num_items = inputs.pair.items.num_items
    known = with_others(known_to_test(*inputs.splits, protocol), inputs.others)
    warm_N = user_counts(known, num_items)[test.target] > 0
    sold = inputs.sold(protocol)
    sales = None if sold is None else Sales.of_samples(sold, num_items)
    if sales is not None:
        warm_N |= sales.before(test.target, moments(test, sales)) > 0
    return {"all": np.ones(len(test), dtype=bool), "warm_target": warm_N, "cold_target": ~warm_N}


def age_days(splits: tuple[Samples, Samples, Samples], protocol: Timeline) -> float:
    """Median days from the last purchase that is known to the question; 0 where all until the question is."""
    if protocol.knowledge == "rolling":
        return 0.0
    last, asked = known_to_test(*splits, protocol).target_time, splits[2].target_time
    assert last is not None
    assert asked is not None
    return round(float(np.median(asked - last.max())) / DAY, 2)
