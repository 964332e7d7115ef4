"""The card's part on popularity: how uneven items are, how it shifts between splits, what each split covers."""

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from pairs.tables import Ints, Samples, Split
from pairs.write_tables import count_items

LETTERS = ("X", "Y")
BINS = (0, 1, 3, 10, 100)
"""Lower ends of the classes of train counts that targets are put in."""
Card = dict[str, Any]  # Any: plain JSON values
Domains = npt.NDArray[np.int8]


def describe_popularity(samples: dict[Split, Samples], domain_of: Domains) -> Card:
    """Popularity of items, and of targets, by their train counts."""
    counts = count_items(samples["train"], num_items=len(domain_of))
    return {
        "items": {letter: _describe_items(counts[domain_of == d]) for d, letter in enumerate(LETTERS)},
        "targets": {split: _describe_targets(table, counts, domain_of) for split, table in samples.items()},
    }


def describe_drift(samples: dict[Split, Samples], domain_of: Domains) -> Card:
    """How far the targets of valid and test are distributed from those of train: the Jensen-Shannon distance (0 equal,
    1 nothing in common), beside what as many draws from train's own distribution give."""
    return {
        split: {
            letter: _drift(*(_target_counts(samples[which], d, domain_of) for which in ("train", split)))
            for d, letter in enumerate(LETTERS)
        }
        for split in samples
        if split != "train"
    }


def describe_coverage(samples: dict[Split, Samples], domain_of: Domains) -> Card:
    """For each split and domain: shares of the domain's items that occur, that are asked for, and of the split's users
    who are asked about the domain."""
    return {
        split: {letter: _coverage(table, d, domain_of) for d, letter in enumerate(LETTERS)}
        for split, table in samples.items()
    }


def describe_repeats(samples: Samples) -> Card:
    """Share of the history's interactions that repeat an earlier one, and of the targets that repeat one."""
    row = np.repeat(np.arange(len(samples)), samples.lengths)
    pairs = pl.DataFrame({"row": row, "item": samples.history})
    again = np.unique(row[samples.history == samples.target[row]])
    return {
        "in_history": _round(1 - pairs.n_unique() / max(len(row), 1)),
        "targets": _round(len(again) / max(len(samples), 1)),
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


def _describe_targets(table: Samples, counts: Ints, domain_of: Domains) -> Card:
    classes = np.bincount(np.digitize(counts[table.target], BINS) - 1, minlength=len(BINS))
    names = [str(low) if low == high - 1 else f"{low}-{high - 1}" for low, high in pairwise(BINS)] + [f"{BINS[-1]}+"]
    return {
        "median_train_count": float(np.median(counts[table.target])) if len(table) else 0.0,
        "by_train_count": {n: _round(share / max(len(table), 1)) for n, share in zip(names, classes, strict=True)},
        "of_most_popular_tenth": {
            letter: _head_share(table.target[table.domain == d], counts, domain_of == d)
            for d, letter in enumerate(LETTERS)
        },
    }


def _head_share(targets: Ints, counts: Ints, inside: npt.NDArray[np.bool_]) -> float:
    """Share of the targets that are among the tenth of a domain's items that train shows most often."""
    items = np.flatnonzero(inside)
    head = items[np.argsort(-counts[items], kind="stable")[: max(len(items) // 10, 1)]]
    return _round(float(np.isin(targets, head).mean())) if len(targets) else 0.0


def _target_counts(table: Samples, domain: int, domain_of: Domains) -> Ints:
    counts: Ints = np.bincount(table.target, minlength=len(domain_of))[domain_of == domain].astype(np.int64)
    return counts


def _drift(train: Ints, held_out: Ints) -> Card:
    if train.sum() == 0 or held_out.sum() == 0:
        return {"distance": None, "by_chance": None}
    drawn = np.random.default_rng(0).multinomial(int(held_out.sum()), train / train.sum())
    return {"distance": _round(js_distance(train, held_out)), "by_chance": _round(js_distance(train, drawn))}


def _coverage(table: Samples, domain: int, domain_of: Domains) -> Card:
    num_items = max(int((domain_of == domain).sum()), 1)
    asked = np.unique(table.target[table.domain == domain])
    seen = np.union1d(asked, np.unique(table.history[domain_of[table.history] == domain]))
    users = len(np.unique(table.user[table.domain == domain])) / max(len(np.unique(table.user)), 1)
    return {
        "items_seen": _round(len(seen) / num_items),
        "items_asked": _round(len(asked) / num_items),
        "users": _round(users),
    }


def _round(value: float) -> float:
    return round(float(value), 4)
