"""The card's part on popularity: how uneven items are, how it shifts between splits, what each split covers."""

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from pairs.card.tally import SplitTally, Tally
from pairs.tables import Ints

LETTERS = ("X", "Y")
BINS = (0, 1, 3, 10, 100)
"""Lower ends of the classes of train counts that targets are put in."""
Card = dict[str, Any]  # Any: plain JSON values
Domains = npt.NDArray[np.int8]


def describe_popularity(tally: Tally) -> Card:
    """Popularity of items, and of targets, by their train counts."""
    counts = tally.train_count
    return {
        "items": {letter: _describe_items(counts[tally.domain_of == d]) for d, letter in enumerate(LETTERS)},
        "targets": {split: _describe_targets(table, tally) for split, table in tally.splits.items()},
    }


def describe_drift(tally: Tally) -> Card:
    """How far the targets of valid and test are distributed from those of train: the Jensen-Shannon distance (0 equal,
    1 nothing in common), beside what as many draws from train's own distribution give."""
    train = tally.splits["train"].target_counts
    return {
        split: {
            letter: _drift(train[tally.domain_of == d], table.target_counts[tally.domain_of == d])
            for d, letter in enumerate(LETTERS)
        }
        for split, table in tally.splits.items()
        if split != "train"
    }


def describe_coverage(tally: Tally) -> Card:
    """For each split and domain: shares of the domain's items that occur, that are asked for, and of the split's users
    who are asked about the domain."""
    return {
        split: {letter: _coverage(table, d, tally.domain_of) for d, letter in enumerate(LETTERS)}
        for split, table in tally.splits.items()
    }


def describe_repeats(split: SplitTally) -> Card:
    """Share of the history's interactions that repeat an earlier one, and of the targets that repeat one."""
    num_interactions = int(split.lengths @ np.arange(len(split.lengths)))
    return {
        "in_history": _round(split.repeats_in_history / max(num_interactions, 1)),
        "targets": _round(split.repeated_targets / max(len(split), 1)),
    }


def js_distance(one: Ints, other: Ints) -> float:
    """The Jensen-Shannon distance, to base 2, of two distributions given as counts of the same things."""
    p, q = one / one.sum(), other / other.sum()
    middle = (p + q) / 2
    divergence = sum(0.5 * float((a[a > 0] * np.log2(a[a > 0] / middle[a > 0])).sum()) for a in (p, q))
    return float(np.sqrt(max(divergence, 0.0)))


def gini(counts: Ints) -> float:
    """0 where all are equal, towards 1 where one has everything."""
    if counts.sum() == 0:
        return 0.0
    ordered = np.sort(counts)
    ranks = np.arange(1, len(ordered) + 1)
    return float((2 * ranks - len(ordered) - 1) @ ordered / (len(ordered) * ordered.sum()))


def _describe_items(counts: Ints) -> Card:
    median, p90, p99 = np.quantile(counts, (0.5, 0.9, 0.99)).tolist()
    most = int(counts.max())
    return {
        "median": median,
        "p90": round(p90, 1),
        "p99": round(p99, 1),
        "max": most,
        "gini": _round(gini(counts)),
        "never_in_train": _round(float((counts == 0).mean())),
    }


def _describe_targets(table: SplitTally, tally: Tally) -> Card:
    """By how often train shows them; every target counts, so items are weighted by how often they are asked for."""
    asked = np.flatnonzero(table.target_counts)
    weights, counts = table.target_counts[asked], tally.train_count[asked]
    classes = np.bincount(np.digitize(counts, BINS) - 1, weights=weights, minlength=len(BINS))
    names = [str(low) if low == high - 1 else f"{low}-{high - 1}" for low, high in pairwise(BINS)] + [f"{BINS[-1]}+"]
    return {
        "median_train_count": weighted_median(counts, weights),
        "by_train_count": {n: _round(share / max(len(table), 1)) for n, share in zip(names, classes, strict=True)},
        "of_most_popular_tenth": {
            letter: _head_share(table.target_counts, tally.train_count, tally.domain_of == d)
            for d, letter in enumerate(LETTERS)
        },
    }


def weighted_median(values: Ints, weights: Ints) -> float:
    """The median of `values`, each as often as its weight says; 0 where there is none."""
    if weights.sum() == 0:
        return 0.0
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    middle = (int(reached[-1]) - 1) // 2, int(reached[-1]) // 2
    return float(values[order][np.searchsorted(reached, middle, side="right")].mean())


def _head_share(asked: Ints, counts: Ints, inside: npt.NDArray[np.bool_]) -> float:
    """Share of a domain's targets that are among the tenth of its items that train shows most often."""
    items = np.flatnonzero(inside)
    head = items[np.argsort(-counts[items], kind="stable")[: max(len(items) // 10, 1)]]
    return _round(asked[head].sum() / max(asked[items].sum(), 1))


def _drift(train: Ints, held_out: Ints) -> Card:
    if train.sum() == 0 or held_out.sum() == 0:
        return {"distance": None, "by_chance": None}
    drawn = np.random.default_rng(0).multinomial(int(held_out.sum()), train / train.sum())
    return {"distance": _round(js_distance(train, held_out)), "by_chance": _round(js_distance(train, drawn))}


def _coverage(table: SplitTally, domain: int, domain_of: Domains) -> Card:
    inside = domain_of == domain
    num_items = max(int(inside.sum()), 1)
    return {
        "items_seen": _round((table.item_counts[inside] > 0).sum() / num_items),
        "items_asked": _round((table.target_counts[inside] > 0).sum() / num_items),
        "users": _round(table.users_asked[domain] / max(table.num_users, 1)),
    }


def _round(value: float) -> float:
    return round(float(value), 4)
