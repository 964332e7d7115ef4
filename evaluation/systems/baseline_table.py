"""The table of baselines: how each is fitted on train, and the grid that is tried on valid.

A new baseline is a class that scores (`Scorer`), a row here and one in `launch.systems.SYSTEM_TABLE`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

from evaluation.matrices import Sparse, transition_matrix, user_item_matrix
from evaluation.systems.baselines import ItemCosine, Markov, Popularity, Scorer, Text
from evaluation.systems.ridge import Ridge, sample_users
from evaluation.tfidf import EVERY_WORD, Words, item_texts
from pairs.tables import Items, Samples

Parameters: TypeAlias = dict[str, float]
Grid: TypeAlias = dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Material:
    """What baselines are fitted on; a matrix is made when the first of them asks for it, and once."""

    train: Samples
    items: Items
    ridge_max_users: int
    seed: int
    _transitions: dict[bool, Sparse] = field(default_factory=dict, init=False)

    @cached_property
    def bought(self) -> Sparse:
        """[U, I] ones where a train user has an item."""
        return user_item_matrix(self.train, self.items.num_items)

    @cached_property
    def ridge_rows(self) -> Sparse:
        """The rows of `bought` that the ridge is fitted on."""
        return sample_users(self.bought, self.ridge_max_users, self.seed)

    @cached_property
    def vectors(self) -> Sparse:
        """[I, V] the words of titles and attributes."""
        return Words(item_texts(self.items), EVERY_WORD).fitted

    def transitions(self, within_domain: bool) -> Sparse:
        """[I, I] shares of what train users took next."""
        if within_domain not in self._transitions:
            self._transitions[within_domain] = transition_matrix(
                self.train, self.items.domain, within_domain=within_domain
            )
        return self._transitions[within_domain]


@dataclass(frozen=True)
class Baseline:
    """One row of the table."""

    fit: Callable[..., Scorer]
    """(material, **parameters of the grid) -> what scores."""
    grid: Grid = field(default_factory=dict)
    """Values to try of each parameter. The first of each is the method's; another is taken only where valid favours it
    by more than one standard error. Empty: nothing to choose."""


def fit_popularity(material: Material) -> Scorer:
    return Popularity(material.items)


def fit_markov(material: Material, *, within_domain: float, decay: float) -> Scorer:
    return Markov(material.transitions(bool(within_domain)), material.items, decay=decay)


def fit_item_cosine(material: Material, *, exponent: float, decay: float) -> Scorer:
    return ItemCosine(material.bought, material.items, exponent=exponent, decay=decay)


def fit_ridge(material: Material, *, penalty: float, weight: float, decay: float) -> Scorer:
    return Ridge(material.ridge_rows, material.items, penalty=penalty, weight=weight, decay=decay)


def fit_text(material: Material, *, decay: float) -> Scorer:
    return Text(material.vectors, material.items, decay=decay)


BASELINE_TABLE = {
    "popularity": Baseline(fit_popularity),
    "markov": Baseline(fit_markov, {"within_domain": (1.0, 0.0), "decay": (0.8, 0.5, 0.0)}),
    "item_cosine": Baseline(fit_item_cosine, {"exponent": (0.3, 0.4, 0.5), "decay": (0.9, 0.8, 1.0)}),
    "ridge": Baseline(fit_ridge, {"penalty": (200.0, 50.0, 800.0), "weight": (0.5,), "decay": (0.9, 0.8, 1.0)}),
    "text": Baseline(fit_text, {"decay": (0.8, 0.6, 0.9, 1.0)}),
}
