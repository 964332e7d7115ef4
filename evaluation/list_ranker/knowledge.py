"""What the lists of a split may be made from: train alone, or, for test, train and valid (docs/method.md#evaluation).

Whoever runs a recommender knows the sales of yesterday. So on a chronological pair what was selected on valid is fitted
anew on train and valid before test is ranked. Elsewhere test users are others, at the same times: train is enough.
"""

import logging
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from evaluation.config import EvaluationConfig
from evaluation.list_ranker.blocks import as_of, follows_in_time, joined, latest_part
from evaluation.sales import DAY
from pairs.tables import Samples

log = logging.getLogger(__name__)
Knowledge: TypeAlias = Literal["train", "refit"]
LATE_SHARE = 0.25
"""Of valid, by time, that all is selected on where the split is one of time: what drifts shows there."""


@dataclass(frozen=True)
class Timeline:
    """How the splits lie in time, and what follows from it."""

    chronological: bool
    knowledge: Knowledge

    def selected_on(self, valid: Samples) -> Samples:
        """The part of valid that decides."""
        return latest_part(valid, LATE_SHARE) if self.chronological else valid


def read_timeline(train: Samples, valid: Samples, test: Samples, config: EvaluationConfig) -> Timeline:
    """From the targets' times; `evaluation.knowledge` may say otherwise."""
    chronological = follows_in_time(valid, train) and follows_in_time(test, valid)
    knowledge: Knowledge = config.knowledge if config.knowledge != "auto" else "refit" if chronological else "train"
    log.info(
        "%s pair: test is ranked with what %s tells",
        "chronological" if chronological else "other than chronological",
        "train and valid" if knowledge == "refit" else "train",
    )
    return Timeline(chronological, knowledge)


def known_at_the_cut(train: Samples, valid: Samples, test: Samples) -> Samples:
    """All purchases up to the moment that parts valid from test, those in the histories of test's users among them."""
    before = joined(train, valid)
    assert before.target_time is not None
    earlier = as_of(test, int(before.target_time.max()))
    return joined(before, earlier)


def age_days(samples: Samples, known: Samples) -> float | None:
    """Median days from the last that is known to the moment of a question; None without times."""
    if samples.target_time is None or known.target_time is None:
        return None
    return round(float(np.median(samples.target_time - known.target_time.max())) / DAY, 1)
