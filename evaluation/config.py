"""Configuration of stage `evaluate`."""

from dataclasses import dataclass
from typing import Literal

from launch.options.fields import Decides

WHOLE_ITEMS = 50_000
"""In a domain, that are all scored for every sample where a recipe leaves the choice."""


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How ranked lists are judged, tuned and fused. Everything that is chosen is chosen on valid."""

    filter_history: Decides[bool] = True
    """Leave a user's own history out of the ranking (a target in it is then a miss). The other way is reported too."""
    selection_metric: Decides[Literal["hr@10", "mrr"]] = "hr@10"
    """What hyper-parameters and fusion weights are chosen by, on valid."""
    list_depth: Decides[int] = 100
    """Items a list that this stage writes."""
    knowledge: Decides[Literal["auto", "train", "refit", "rolling"]] = "auto"
    """What test is ranked with: `train` alone; `refit`, what was selected on valid fitted anew on train and valid;
    `rolling`, that and who bought what strictly before each target, on pairs with times. `auto`: refit where the split
    is one of time. A report on such a pair has a table of each."""
    clock: Decides[bool] = True
    """Whether times of sales are told, on pairs with times: baseline `recent`, and the list ranker's counts and ages of
    sales. What may be known is `knowledge`'s all the same."""
    refine_top: Decides[int] = 5
    """Paper refinement: grounded items looked at (m); one out of domain and the graph's list is used."""
    bootstrap_resamples: Decides[int] = 1000
    """Resamples of the users behind every 95 % interval."""
    ridge_max_users: Decides[int] = 20_000
    """Train users in the ridge baseline; of more, this many at random, and the report says so."""
    ranker_samples: Decides[int] = 6_000
    """Train samples that the list ranker learns from, whole users at random (of their own time on chronological pairs);
    0: none is fitted; more than 6,000: without the graph's evidence, which leaves lists of so many."""
    ranker_depth: Decides[int] = 100
    """Of each source's list, the items that the list ranker puts in order."""
    tuning_samples: Decides[int] = 10_000
    """Valid samples that baselines are tuned on; of more, about this many, whole users at random."""
    tuning_users: Decides[int] = 10_000
    """Valid users that fusions, the list ranker and the final list are chosen on; of more, this many at random."""
    side_users: Decides[int] = 10_000
    """Users of a split that tables beside the main one are of: history ranked the other way, test with other knowledge;
    of more, this many at random."""
    candidates: Decides[Literal["auto", "all", "named"]] = "auto"
    """Items that are ranked for a sample. all: those of its domain; named: those that some source has among its best,
    and a target that is none of them is not ranked; auto: all, but in a domain of more than 50,000 items."""
    candidate_depth: Decides[int] = 300
    """Items that each source names; no system is asked for ranks below that."""
    max_samples: Decides[int | None] = None
    """Samples of a split to judge, whole users at random; null: all."""

    def __post_init__(self) -> None:
        _at_least(self.list_depth, 20, "list_depth")
        _at_least(self.refine_top, 1, "refine_top")
        _at_least(self.bootstrap_resamples, 100, "bootstrap_resamples")
        _at_least(self.ridge_max_users, 1, "ridge_max_users")
        _at_least(self.tuning_samples, 1, "tuning_samples")
        _at_least(self.tuning_users, 1, "tuning_users")
        _at_least(self.side_users, 1, "side_users")
        _at_least(self.candidate_depth, max(20, self.list_depth, self.ranker_depth + 1), "candidate_depth")
        _at_least(self.ranker_samples, 0, "ranker_samples")
        _at_least(self.ranker_depth, 10, "ranker_depth")
        if self.max_samples is not None:
            _at_least(self.max_samples, 1, "max_samples")


def _at_least(value: int, least: int, name: str) -> None:
    if value < least:
        raise ValueError(f"evaluation.{name} must be at least {least}, got {value}")
