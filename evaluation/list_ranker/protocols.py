"""Test once more under each other protocol: the same choices, fitted and asked with more or less knowledge.

On a chronological pair how much is known decides more than any model does; so a report says it for each, with its age.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from evaluation.config import EvaluationConfig
from evaluation.list_ranker.bank import Bank
from evaluation.list_ranker.final import ListRanker
from evaluation.list_ranker.knowledge import PROTOCOLS, Knowledge, Timeline, known_to_test
from evaluation.sales import DAY
from evaluation.systems.judging import Verdict, judge
from evaluation.systems.mixture import Mixture
from evaluation.systems.sources import Sources
from evaluation.systems.summary import system_table
from pairs.tables import Items, Samples

Json = dict[str, Any]  # Any: plain JSON values


def protocol_tables(
    train: Samples,
    valid: Samples,
    test: Samples,
    items: Items,
    timeline: Timeline,
    verdict: Verdict,
    *,
    bank_of: Callable[[Timeline], Bank],
    sources_of: Callable[[Timeline], Sources],
    ranker_of: Callable[[Timeline], ListRanker | None],
    mixture: Mixture,
    config: EvaluationConfig,
    seed: int,
) -> Json:
    """Protocol -> `age_days` of what is known, `systems`, and `chosen` for the report's own; none where the pair is not
    chronological.

    Args:
        verdict: test's, under the report's own protocol.
        bank_of, sources_of, ranker_of: what is known, the lists of other stages, and the trees, under a protocol.
    """
    if not timeline.chronological:
        return {}
    tables: Json = {}
    for knowledge in PROTOCOLS:
        one = dataclasses.replace(timeline, knowledge=knowledge)
        if knowledge == timeline.knowledge:
            ranks = verdict.ranks
        else:
            bank, sources, ranker = bank_of(one), sources_of(one), ranker_of(one)
            final = None if ranker is None else ranker.told(bank, sources.lists)
            ranks = judge(
                test, items, scorers=bank.scorers, mixture=mixture, sources=sources, config=config, final=final,
                both_ways=False,
            ).ranks  # fmt: skip
        tables[knowledge] = {
            "own": knowledge == timeline.knowledge,
            "age_days": age_days(knowledge, train, valid, test, one),
            "systems": system_table(
                ranks, test.user, {"all": np.ones(len(test), dtype=bool)},
                resamples=config.bootstrap_resamples, seed=seed,
            ),
        }  # fmt: skip
    return tables


def age_days(knowledge: Knowledge, train: Samples, valid: Samples, test: Samples, timeline: Timeline) -> float:
    """Median days from the last purchase that is known to the question; 0 where all until the question is."""
    if knowledge == "rolling":
        return 0.0
    last = known_to_test(train, valid, test, timeline).target_time
    assert last is not None
    assert test.target_time is not None
    return round(float(np.median(test.target_time - last.max())) / DAY, 2)
