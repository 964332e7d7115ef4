"""The table of baselines: how each is fitted on train, and the grid that is tried on valid.

A new baseline is a class that scores (`Scorer`), a row here and one in `launch.systems.SYSTEM_TABLE`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
import scipy.sparse as sp

from evaluation.candidates.asked import Scorer
from evaluation.matrices import Floats, Sparse, fading_matrix, latest_times, transition_matrix, user_item_matrix
from evaluation.sales import Sales
from evaluation.systems.baselines import Markov, Popularity, Recent, Text, TextSquares
from evaluation.systems.item_cosine import CoPurchases, ItemCosine, co_purchases
from evaluation.systems.ridge import DIRECT_ITEMS, DirectRidge, Ridge, ridge_weights, sample_users
from evaluation.tfidf import EVERY_WORD, Words, item_texts
from pairs.known import with_others
from pairs.tables import Ints, Items, Samples

Parameters: TypeAlias = dict[str, float]
Grid: TypeAlias = dict[str, tuple[float, ...]]
Needs: TypeAlias = Literal["nothing", "sales", "cut"]
WORDS = "text_squares"
"""By whose places items stand in the final list that nobody has bought."""
HALF_LIVES = (30.0, 7.0, 3.0, 14.0, 90.0, 365.0)
"""Days."""


@dataclass(frozen=True)
class Material:
    """What baselines are fitted on; a matrix is made when the first of them asks for it, and once."""

    train: Samples
    items: Items
    ridge_max_users: int
    seed: int
    others: Samples | None = None
    """Users of one domain, who say what goes together and what sells when; `popularity` counts train's users alone."""
    sold: Samples | None = None
    """Whose purchases are the sales, asked as of each question; None: those of `everyone`."""
    words: "Sparse | None" = None
    """[I, V] of titles and attributes, where they are made already."""
    clock: bool = True
    """Whether times of sales are told."""
    _transitions: dict[bool, Sparse] = field(default_factory=dict, init=False)
    _faded: dict[float, CoPurchases] = field(default_factory=dict, init=False)
    _ridge_weights: dict[tuple[float, float], Floats] = field(default_factory=dict, init=False)

    @cached_property
    def everyone(self) -> Samples:
        """Train's users, and those of one domain as far as train goes."""
        return with_others(self.train, self.others)

    @cached_property
    def bought(self) -> Sparse:
        """[U, I] ones where one of `everyone` has an item."""
        return user_item_matrix(self.everyone, self.items.num_items)

    @cached_property
    def co_purchases(self) -> CoPurchases:
        """What goes together."""
        return co_purchases(self.bought, self.items)

    def faded(self, half_life: float) -> CoPurchases:
        """What goes together, purchases counting the less the older they are, as of the last of train's."""
        if half_life not in self._faded:
            self._faded.clear()  # the last one is kept, for a grid goes on with what it has chosen
            assert self.train.target_time is not None
            end = int(self.train.target_time.max())
            fading_UI = fading_matrix(self.bought, self._latest, end=end, half_life=half_life)
            self._faded[half_life] = co_purchases(self.bought, self.items, fading_UI, self.co_purchases.buyers)
        return self._faded[half_life]

    @cached_property
    def _latest(self) -> Ints:
        return latest_times(self.everyone, self.bought)

    def let_go(self) -> None:
        """Forget the matrices, but for those that scorers hold: nothing more is fitted on them."""
        for made in ("bought", "co_purchases", "_latest", "ridge_rows", "ridge_items"):
            self.__dict__.pop(made, None)
        for kept in (self._transitions, self._faded, self._ridge_weights):
            kept.clear()

    @cached_property
    def ridge_rows(self) -> Sparse:
        """The rows of `bought` that the ridge is fitted on: train's users and, where there is room, others."""
        if self.others is None:
            return sample_users(self.bought, self.ridge_max_users, self.seed)
        own = user_item_matrix(self.train, self.items.num_items)
        room = self.ridge_max_users - own.shape[0]
        if room <= 0:
            return sample_users(own, self.ridge_max_users, self.seed)
        beside = self.everyone.take(np.arange(len(self.train), len(self.everyone)))
        others = sample_users(user_item_matrix(beside, self.items.num_items), room, self.seed)
        return sp.csr_matrix(sp.vstack([own, others]))

    @cached_property
    def ridge_items(self) -> Ints:
        """The items that those rows hold, ascending."""
        return np.unique(self.ridge_rows.indices).astype(np.int64)

    def ridge_weights(self, *, penalty: float, weight: float) -> Floats:
        """W of the `ridge_items`; the last one is kept, for a grid goes on with what it has chosen."""
        if (penalty, weight) not in self._ridge_weights:
            self._ridge_weights.clear()
            rows = sp.csr_matrix(self.ridge_rows[:, self.ridge_items])
            self._ridge_weights[penalty, weight] = ridge_weights(rows, penalty=penalty, weight=weight)
        return self._ridge_weights[penalty, weight]

    @cached_property
    def sales(self) -> Sales | None:
        """Who sold when; None without times, or where they are not told."""
        if not self.clock:
            return None
        return Sales.of_samples(self.everyone if self.sold is None else self.sold, self.items.num_items)

    @cached_property
    def vectors(self) -> Sparse:
        """[I, V] the words of titles and attributes."""
        return Words(item_texts(self.items), EVERY_WORD).fitted if self.words is None else self.words

    def transitions(self, within_domain: bool) -> Sparse:
        """[I, I] shares of what train users took next."""
        if within_domain not in self._transitions:
            self._transitions[within_domain] = transition_matrix(
                self.everyone, self.items.domain, within_domain=within_domain
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
    needs: Needs = "nothing"
    """sales: it is there on pairs with times; cut: where the split is one of time, too, so that all that is known came
    before the questions."""
    by_domain: bool = False
    """Whether what the two domains' histories say apart is worth knowing to the list ranker."""


def fit_popularity(material: Material) -> Scorer:
    return Popularity(material.items)


def fit_recent(material: Material, *, half_life_x: float, half_life_y: float) -> Scorer:
    assert material.sales is not None
    return Recent(material.sales, material.items, half_lives=(half_life_x, half_life_y))


def fit_markov(material: Material, *, within_domain: float, decay: float) -> Scorer:
    return Markov(material.transitions(bool(within_domain)), material.items, decay=decay)


def fit_item_cosine(material: Material, *, exponent: float, decay: float) -> Scorer:
    return ItemCosine(material.co_purchases, material.items, exponent=exponent, decay=decay)


def fit_recent_cosine(material: Material, *, half_life: float, exponent: float, decay: float) -> Scorer:
    return ItemCosine(material.faded(half_life), material.items, exponent=exponent, decay=decay)


def fit_ridge(material: Material, *, penalty: float, weight: float, decay: float, cross: float) -> Scorer:
    if len(material.ridge_items) <= DIRECT_ITEMS:
        weights = material.ridge_weights(penalty=penalty, weight=weight)
        return DirectRidge(weights, material.ridge_items, material.items, decay=decay, cross=cross)
    return Ridge(material.ridge_rows, material.items, penalty=penalty, weight=weight, decay=decay, cross=cross)


def fit_text(material: Material, *, decay: float) -> Scorer:
    return Text(material.vectors, material.items, decay=decay)


def fit_text_squares(material: Material, *, decay: float, cross: float) -> Scorer:
    return TextSquares(material.vectors, material.items, decay=decay, cross=cross)


BASELINE_TABLE = {
    "popularity": Baseline(fit_popularity),
    "recent": Baseline(fit_recent, {"half_life_x": HALF_LIVES, "half_life_y": HALF_LIVES}, needs="sales"),
    "markov": Baseline(fit_markov, {"within_domain": (1.0, 0.0), "decay": (0.8, 0.5, 0.0)}),
    "item_cosine": Baseline(
        fit_item_cosine, {"exponent": (0.3, 0.2, 0.4, 0.5), "decay": (0.9, 0.8, 0.7, 0.6, 1.0)}, by_domain=True
    ),
    "recent_cosine": Baseline(
        fit_recent_cosine,
        {"half_life": (14.0, 7.0, 3.0, 30.0, 90.0), "exponent": (0.3, 0.2, 0.4), "decay": (0.8, 0.6, 0.9)},
        needs="cut",
        by_domain=True,
    ),
    "ridge": Baseline(
        fit_ridge, {"penalty": (200.0, 50.0, 800.0), "weight": (0.5,), "decay": (0.9, 0.8, 1.0), "cross": (1.0, 0.5)}
    ),
    "text": Baseline(fit_text, {"decay": (0.8, 0.6, 0.9, 1.0)}, by_domain=True),
    "text_squares": Baseline(fit_text_squares, {"decay": (0.8, 0.6, 0.9, 1.0), "cross": (0.5, 1.0, 0.2)}),
}
