"""All that the list ranker asks of what is known: the baselines' scores, what the history's two halves say apart, and
who sold when."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evaluation.candidates.asked import Scorer
from evaluation.list_ranker.features import Candidates, feature_names, find_candidates
from evaluation.matrices import Floats, Sparse, user_item_matrix
from evaluation.metrics.ranks import DomainSamples, without_history
from evaluation.ranked_lists import RankedLists
from evaluation.sales import Sales, moments
from evaluation.systems.baseline_table import BASELINE_TABLE, Material, Parameters
from evaluation.systems.fusion import spread_list
from pairs.ragged import offsets_of
from pairs.tables import Ints, Items, Samples


@dataclass(frozen=True)
class Bank:
    """What is known, ready to be asked."""

    items: Items
    words: Sparse
    scorers: Mapping[str, Scorer]
    sales: Sales | None
    num_buyers: Ints
    """[I] users of each item, those of one domain among them."""
    given: Mapping[str, RankedLists] = field(default_factory=dict)
    """Lists of other stages, aligned with the samples that are asked; made from what is known, too."""

    @property
    def halved(self) -> list[str]:
        """Scorers that are also asked with the two domains' histories apart."""
        return [name for name in self.scorers if BASELINE_TABLE[name].by_domain]

    @property
    def names(self) -> list[str]:
        """Of the features, in order."""
        halves = [f"{name} of the {half} domain" for name in self.halved for half in ("same", "other")]
        return feature_names([*self.scorers, *self.given], halves, timed=self.sales is not None)

    def scores(self, batch: DomainSamples) -> dict[str, Floats]:
        """[B, C] by every scorer."""
        return batch.scores(self.scorers)

    def candidates(
        self, batch: DomainSamples, scores: Mapping[str, Floats], *, depth: int, filter_history: bool
    ) -> Candidates:
        """The union of the scorers' best and the given lists', with features; without the history's items if asked."""
        listed = {name: spread_list(lists, batch, absent=-np.inf) for name, lists in self.given.items()}
        kept = {
            name: without_history(scores_BC, batch) if filter_history else scores_BC
            for name, scores_BC in {**scores, **listed}.items()
        }
        halves: dict[str, tuple[Scorer, Samples]] = {}
        for half, domain in (("same", batch.domain), ("other", 1 - batch.domain)):
            samples = of_domain(batch.samples, self.items, domain)
            halves |= {f"{name} of the {half} domain": (self.scorers[name], samples) for name in self.halved}
        told = {name: batch.score(*halves[name]) for name in self.names if name in halves}
        at_B = None if self.sales is None else moments(batch.samples, self.sales)
        return find_candidates(batch, self.items, kept, told, depth=depth, sales=self.sales, at_B=at_B)

    def never_sold(self, batch: DomainSamples, candidates: Candidates) -> NDArray[np.bool_]:
        """[P] whether a candidate has no buyer in what is known and, where the sales know more, none before the
        question."""
        item_P = batch.item_at(candidates.row, candidates.column)
        never_P = self.num_buyers[item_P] == 0
        if self.sales is not None:
            at_B = moments(batch.samples, self.sales)
            never_P &= self.sales.before(item_P, at_B[candidates.row]) == 0
        return np.asarray(never_P, dtype=bool)


def fit_bank(
    known: Samples,
    items: Items,
    parameters: Mapping[str, Parameters],
    *,
    ridge_max_users: int,
    seed: int,
    others: Samples | None = None,
    sold: Samples | None = None,
    words: "Sparse | None" = None,
    clock: bool = True,
) -> Bank:
    """Every baseline with its chosen parameters on `known` alone: counts of other samples are not in it.

    Args:
        others: users of one domain.
        sold: whose purchases are the sales; None: those of `known` and, until these end, of `others`.
        words: [I, V] those of another bank of the same catalogue; None: made of the items' texts.
        clock: whether times of sales are told.
    """
    counted = dataclasses.replace(items, train_count=user_counts(known, items.num_items))
    material = Material(known, counted, ridge_max_users, seed, others, sold, words, clock)
    scorers = {
        name: baseline.fit(material, **parameters.get(name, {}))
        for name, baseline in BASELINE_TABLE.items()
        if baseline.needs == "nothing"
        or (material.sales is not None and (baseline.needs == "sales" or name in parameters))
    }
    return Bank(counted, material.vectors, scorers, material.sales, num_buyers(material))


def num_buyers(material: Material) -> Ints:
    """[I] users of each item, those of one domain among them; its items count train's users."""
    items = material.items
    return items.train_count if material.others is None else user_counts(material.everyone, items.num_items)


def user_counts(samples: Samples, num_items: int) -> Ints:
    """[I] users of each item, in histories and targets."""
    return np.asarray(user_item_matrix(samples, num_items).sum(axis=0)).ravel().astype(np.int64)


def of_domain(samples: Samples, items: Items, domain: int) -> Samples:
    """The samples with one domain's part of their histories."""
    kept = items.domain[samples.history] == domain
    lengths_N = np.bincount(samples.item_rows[kept], minlength=len(samples))
    return dataclasses.replace(
        samples,
        history=samples.history[kept],
        offsets=offsets_of(lengths_N),
        history_time=None if samples.history_time is None else samples.history_time[kept],
    )
