"""The data card: what a prepared pair is like, and what a reader must know before trusting a number made from it."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from pairs.card.histograms import describe_histograms
from pairs.card.near_titles import describe_near_titles
from pairs.card.popularity import (
    describe_coverage,
    describe_drift,
    describe_popularity,
    describe_repeats,
    weighted_median,
)
from pairs.card.tally import Domains, SplitTally, Tally
from pairs.tables import Ints

LETTERS = ("X", "Y")
Card = dict[str, Any]  # Any: plain JSON values


def make_card(
    *, name: str, names: tuple[str, str], items: pl.DataFrame, tally: Tally, facts: Card, months: Card | None = None
) -> Card:
    """The card of a pair; `facts` are what the reader and the splitter know: source, split rule, counts, cuts;
    `months` are the kept interactions by month."""
    splits = tally.splits
    evidence = splits["train"].order.describe()
    users = sum(table.num_users for table in splits.values())
    return {
        "pair": name,
        "domains": list(names),
        **facts,
        "order": evidence["order"],
        "order_evidence": evidence,
        "id_closeness": tally.closeness.describe(),
        "items": _by_domain(np.bincount(tally.domain_of, minlength=2)),
        "duplicate_titles": _by_domain(_duplicates(items)),
        "near_duplicate_titles": describe_near_titles(items),
        "without_attributes": _by_domain(_without_attributes(items)),
        "users": _describe_users(tally),
        "samples": {split: _all_and_by_domain(table.num_samples) for split, table in splits.items()},
        "interactions": {split: _interactions(table, tally.domain_of) for split, table in splits.items()},
        "overlap": {split: _share(table.users_of_both, table.num_users) for split, table in splits.items()},
        "users_of_one_domain": {split: table.num_users - table.users_of_both for split, table in splits.items()},
        "density": _density(tally),
        "history_length": {split: _describe_lengths(table) for split, table in splits.items()},
        "time_range": {split: _time_range(table) for split, table in splits.items()},
        "train_age_days": tally.train_age.describe(),
        "unseen_targets": {split: _unseen(table, tally) for split, table in splits.items() if split != "train"},
        "twins": {split: _share(table.twin_users, table.num_users) for split, table in splits.items()},
        "twin_users_share": _share(sum(table.twin_users for table in splits.values()), users),
        "popularity": describe_popularity(tally),
        "popularity_drift": describe_drift(tally),
        "coverage": describe_coverage(tally),
        "repeats": {split: describe_repeats(table) for split, table in splits.items()},
        "histograms": {**describe_histograms(tally), "interactions_by_month": months},
    }


def _describe_users(tally: Tally) -> Card:
    asked_both = {split: _share(table.users_asked_both, table.num_users) for split, table in tally.splits.items()}
    return {
        "all": tally.num_users,
        **{split: table.num_users for split, table in tally.splits.items()},
        "disjoint": tally.users_in_two_splits == 0,
        "with_targets_in_both_domains": asked_both,
    }


def _interactions(table: SplitTally, domain_of: Domains) -> Card:
    return _all_and_by_domain(np.bincount(domain_of, weights=table.item_counts, minlength=2).astype(np.int64))


def _density(tally: Tally) -> Card:
    """Share of the train users x items cells that hold an interaction."""
    train = tally.splits["train"]
    size = train.num_users * np.bincount(tally.domain_of, minlength=2)
    shares = train.cells / np.maximum(size, 1)
    return {letter: float(f"{share:.4g}") for letter, share in zip(LETTERS, shares.tolist(), strict=True)}


def _describe_lengths(table: SplitTally) -> Card:
    length = np.arange(len(table.lengths))
    return {
        "mean": round(float(table.lengths @ length) / max(len(table), 1), 2),
        "median": weighted_median(length, table.lengths),
        "max": int(np.flatnonzero(table.lengths).max(initial=0)),
        "with_both_domains": _share(table.histories_of_both, len(table)),
    }


def _unseen(table: SplitTally, tally: Tally) -> Card:
    """Share of the targets that never occur in train: what a model of item ids alone cannot rank."""
    unseen = np.where(tally.train_count == 0, table.target_counts, 0)
    by_domain = [int(unseen[tally.domain_of == d].sum()) for d in (0, 1)]
    shares = {
        letter: _share(count, int(asked))
        for letter, count, asked in zip(LETTERS, by_domain, table.num_samples, strict=True)
    }
    return {"all": _share(sum(by_domain), len(table)), **shares}


def _time_range(table: SplitTally) -> Card | None:
    if not table.timed or table.target_times is None or table.history_from is None:
        return None
    return {"targets": [iso(time) for time in table.target_times], "histories_from": iso(table.history_from)}


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


def _all_and_by_domain(counts: Ints) -> Card:
    return {"all": int(counts.sum()), **_by_domain(counts)}


def _by_domain(values: Ints) -> Card:
    return {letter: int(value) for letter, value in zip(LETTERS, values, strict=True)}


def _share(some: int, of_all: int) -> float:
    return round(some / max(of_all, 1), 4)
