"""What the lists of a split may be made from: train alone, or, for test, train and valid (docs/method.md#evaluation).

Whoever runs a recommender knows the sales of yesterday. So on a chronological pair what was selected on valid is fitted
anew on train and valid before test is ranked. Elsewhere test users are others, at the same times: train is enough.
Whoever counts sales as they come in knows, at each question, all that was sold until then: that is `rolling`.
"""

import logging
from dataclasses import dataclass
from typing import Literal, TypeAlias

from evaluation.config import EvaluationConfig
from evaluation.list_ranker.blocks import is_chronological, latest_part
from launch.errors import InputError
from launch.systems import TOLD_BY
from pairs.known import as_of, with_others
from pairs.tables import Samples, joined

log = logging.getLogger(__name__)
Knowledge: TypeAlias = Literal["train", "refit", "rolling"]
PROTOCOLS: tuple[Knowledge, ...] = ("train", "refit", "rolling")
"""From the least that may be known to the most."""
LATE_SHARE = 0.25
"""Of valid, by time, that all is selected on where the split is one of time: what drifts shows there."""
LEAST_DECIDING = 10_000
"""Samples of it, or all of valid: of fewer a few dozen are hits, and how many trees are fitted is a matter of luck."""


@dataclass(frozen=True)
class Timeline:
    """How the splits lie in time, and what follows from it."""

    chronological: bool
    knowledge: Knowledge

    @property
    def makes_graphs_anew(self) -> bool:
        """Whether test has lists of graphs that were made from more than train."""
        return self.chronological and self.knowledge != "train"

    def selected_on(self, valid: Samples) -> Samples:
        """The part of valid that decides."""
        if not self.chronological:
            return valid
        return latest_part(valid, min(1.0, max(LATE_SHARE, LEAST_DECIDING / max(1, len(valid)))))


def read_timeline(train: Samples, valid: Samples, test: Samples, config: EvaluationConfig) -> Timeline:
    """From the targets' times; `evaluation.knowledge` may say otherwise. InputError where it needs times."""
    chronological = is_chronological(train, valid, test)
    if config.knowledge == "rolling" and any(part.target_time is None for part in (train, valid, test)):
        raise InputError("evaluation.knowledge=rolling needs a pair with times, this one has none; set it to auto")
    knowledge: Knowledge = config.knowledge if config.knowledge != "auto" else "refit" if chronological else "train"
    log.info(
        "%s pair: test is ranked with what %s tells",
        "chronological" if chronological else "other than chronological",
        TOLD_BY[knowledge],
    )
    return Timeline(chronological, knowledge)


def age_before_test(train: Samples, valid: Samples) -> int:
    """Seconds from the end of train to the end of valid: how long before test begins what train tells has ended.

    It is said without test: where valid ends, test begins.
    """
    assert train.target_time is not None
    assert valid.target_time is not None
    return int(valid.target_time.max() - train.target_time.max())


def known_to_test(train: Samples, valid: Samples, test: Samples, timeline: Timeline) -> Samples:
    """What goes together and what sells, for test's lists; never a target of test's.

    Refit on a chronological pair: all purchases up to the moment that parts valid from test, those in the histories of
    test's users among them. Refit elsewhere, where test's targets lie among the others in time: train and valid.
    """
    if timeline.knowledge == "train" or (timeline.knowledge == "rolling" and not timeline.chronological):
        return train
    return known_at_cut(train, valid, test) if timeline.chronological else joined(train, valid)


def sold_by_all(
    train: Samples, valid: Samples, test: Samples, timeline: Timeline, others: Samples | None
) -> Samples | None:
    """Whose purchases are counted strictly before each question under `rolling`: everybody's, users of one domain
    (`others`) among them. None: those of who is known, up to the last of them."""
    return with_others(joined(joined(train, valid), test), others) if timeline.knowledge == "rolling" else None


def known_at_cut(train: Samples, valid: Samples, test: Samples) -> Samples:
    """All that was bought up to the last target of valid's, on a pair whose splits are spans of time."""
    before = joined(train, valid)
    assert before.target_time is not None
    return joined(before, as_of(test, int(before.target_time.max())))
