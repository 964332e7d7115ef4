"""The data card: what a prepared pair is like, and what a reader must know before trusting a number made from it."""

from datetime import UTC, datetime
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from pairs.near_titles import describe_near_titles
from pairs.popularity import describe_coverage, describe_drift, describe_popularity, describe_repeats
from pairs.tables import Ints, Samples, Split
from pairs.write_tables import count_items, interactions

LETTERS = ("X", "Y")
SYNTHETIC_FROM = 0.5
"""Without timestamps, an order that alternates this much (0: random order, 1: the most possible) is synthetic."""

Card = dict[str, Any]  # Any: plain JSON values


def make_card(
    *, name: str, names: tuple[str, str], items: pl.DataFrame, samples: dict[Split, Samples], facts: Card
) -> Card:
    """The card of a pair; `facts` are what the reader and the splitter know: source, split rule, counts, cuts."""
    domain_of = items.sort("item")["domain"].to_numpy()
    evidence = describe_order(samples["train"], domain_of)
    twins = {split: twins_share(table) for split, table in samples.items()}
    return {
        "pair": name,
        "domains": list(names),
        **facts,
        "order": evidence["order"],
        "order_evidence": evidence,
        "items": _by_domain(np.bincount(domain_of, minlength=2)),
        "duplicate_titles": _by_domain(_duplicates(items)),
        "near_duplicate_titles": describe_near_titles(items),
        "without_attributes": _by_domain(_without_attributes(items)),
        "users": _describe_users(samples),
        "samples": {split: _all_and_by_domain(table.domain) for split, table in samples.items()},
        "interactions": {split: _interactions(table, domain_of) for split, table in samples.items()},
        "density": _density(samples["train"], domain_of),
        "history_length": {split: _describe_lengths(table, domain_of) for split, table in samples.items()},
        "time_range": {split: _time_range(table) for split, table in samples.items()},
        "cold_targets": _cold_targets(samples, num_items=items.height),
        "twins": twins,
        "twin_users_share": _twins_of_all(samples, twins),
        "popularity": describe_popularity(samples, domain_of),
        "popularity_drift": describe_drift(samples, domain_of),
        "coverage": describe_coverage(samples, domain_of),
        "repeats": {split: describe_repeats(table) for split, table in samples.items()},
    }


def describe_order(samples: Samples, domain_of: npt.NDArray[np.int8]) -> Card:
    """Whether the order of the histories can be trusted.

    Without timestamps, count how often neighbours in a history are of different domains: between what a random order
    would give (alternation 0) and the most that is possible (alternation 1). Zipping the two domains comes near it.
    """
    domain = domain_of[samples.history].astype(np.int64)
    row = np.repeat(np.arange(len(samples)), samples.lengths)
    switches = np.zeros(len(samples))
    np.add.at(switches, row[1:], (domain[1:] != domain[:-1]) & (row[1:] == row[:-1]))
    num_y = np.bincount(row, weights=domain, minlength=len(samples))
    num_x = samples.lengths - num_y
    mixed = (num_x > 0) & (num_y > 0)
    by_chance = np.divide(2 * num_x * num_y, samples.lengths, out=np.zeros(len(samples)), where=mixed)
    most = 2 * np.minimum(num_x, num_y) - (num_x == num_y)
    spread = float((most - by_chance)[mixed].sum())
    alternation = float((switches - by_chance)[mixed].sum() / spread) if spread > 0 else 0.0
    has_times = samples.history_time is not None
    synthetic = not has_times and alternation >= SYNTHETIC_FROM
    return {
        "order": "synthetic" if synthetic else "chronological",
        "timestamps": has_times,
        "alternation": round(alternation, 4),
        "fully_alternating_histories": _share((switches >= most - 1)[mixed]),
        "note": "the domains were zipped: cross-domain transitions mean nothing" if synthetic else "",
    }


def twins_share(samples: Samples) -> float:
    """Share of this split's users who have two or more samples with the same history."""
    table = pl.DataFrame({"user": samples.user, "history": _history_keys(samples)})
    twins = table.group_by("user", "history").len().filter(pl.col("len") > 1)["user"].n_unique()
    return round(twins / max(table["user"].n_unique(), 1), 4)


def _history_keys(samples: Samples) -> pl.Series:
    lists = pl.DataFrame({"row": np.repeat(np.arange(len(samples)), samples.lengths), "item": samples.history})
    return lists.group_by("row", maintain_order=True).agg("item")["item"].hash(seed=0)


def _twins_of_all(samples: dict[Split, Samples], twins: dict[Split, float]) -> float:
    users = {split: len(np.unique(table.user)) for split, table in samples.items()}
    return round(sum(twins[split] * users[split] for split in samples) / sum(users.values()), 4)


def _describe_users(samples: dict[Split, Samples]) -> Card:
    users = {split: np.unique(table.user) for split, table in samples.items()}
    shared = [np.intersect1d(users[one], users[other]).size for one, other in combinations(users, 2)]
    both = {split: _both_domains(table) for split, table in samples.items()}
    return {
        "all": len(np.unique(np.concatenate(list(users.values())))),
        **{split: len(found) for split, found in users.items()},
        "disjoint": not any(shared),
        "with_targets_in_both_domains": both,
    }


def _both_domains(samples: Samples) -> float:
    x, y = (np.unique(samples.user[samples.domain == domain]) for domain in (0, 1))
    return round(len(np.intersect1d(x, y)) / max(len(np.union1d(x, y)), 1), 4)


def _interactions(samples: Samples, domain_of: npt.NDArray[np.int8]) -> Card:
    events = interactions(samples)
    domain, count = domain_of[events["item"].to_numpy()], events["count"].to_numpy()
    by_domain = [int(count[domain == d].sum()) for d in (0, 1)]
    return {"all": sum(by_domain), "X": by_domain[0], "Y": by_domain[1]}


def _density(samples: Samples, domain_of: npt.NDArray[np.int8]) -> Card:
    """Share of the train users x items cells that hold an interaction."""
    events = interactions(samples)
    domain = domain_of[events["item"].to_numpy()]
    users = events["user"].n_unique()
    cells = {letter: users * int((domain_of == d).sum()) for d, letter in enumerate(LETTERS)}
    return {letter: float(f"{(domain == d).sum() / cells[letter]:.4g}") for d, letter in enumerate(LETTERS)}


def _describe_lengths(samples: Samples, domain_of: npt.NDArray[np.int8]) -> Card:
    row = np.repeat(np.arange(len(samples)), samples.lengths)
    num_y = np.bincount(row, weights=domain_of[samples.history], minlength=len(samples))
    both = (num_y > 0) & (num_y < samples.lengths)
    return {
        "mean": round(float(samples.lengths.mean()), 2),
        "median": float(np.median(samples.lengths)),
        "max": int(samples.lengths.max()),
        "with_both_domains": _share(both),
    }


def _cold_targets(samples: dict[Split, Samples], *, num_items: int) -> Card:
    """Share of the targets that never occur in train: what a model of item ids alone cannot rank."""
    counts = count_items(samples["train"], num_items=num_items)
    cold = {split: counts[samples[split].target] == 0 for split in samples if split != "train"}
    return {
        split: {
            "all": _share(is_cold),
            **{letter: _share(is_cold[samples[split].domain == d]) for d, letter in enumerate(LETTERS)},
        }
        for split, is_cold in cold.items()
    }


def _time_range(samples: Samples) -> Card | None:
    if samples.target_time is None or samples.history_time is None:
        return None
    return {
        "targets": [iso(int(samples.target_time.min())), iso(int(samples.target_time.max()))],
        "histories_from": iso(int(samples.history_time.min())),
    }


def iso(seconds: int) -> str:
    """A time as text, UTC."""
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _duplicates(items: pl.DataFrame) -> Ints:
    """Items whose title an earlier item of the domain has already [2]."""
    per_domain = items.group_by("domain").agg(pl.len() - pl.col("title").n_unique()).sort("domain")
    return per_domain[:, 1].to_numpy().astype(np.int64)


def _without_attributes(items: pl.DataFrame) -> Ints:
    return (
        items.group_by("domain")
        .agg((pl.col("attributes") == "").sum())
        .sort("domain")[:, 1]
        .to_numpy()
        .astype(np.int64)
    )


def _all_and_by_domain(domain: Ints) -> Card:
    counts = np.bincount(domain, minlength=2)
    return {"all": int(counts.sum()), **_by_domain(counts)}


def _by_domain(values: npt.NDArray[np.int64]) -> Card:
    return {letter: int(value) for letter, value in zip(LETTERS, values, strict=True)}


def _share(flags: npt.NDArray[np.bool_]) -> float:
    return round(float(flags.mean()), 4) if flags.size else 0.0
