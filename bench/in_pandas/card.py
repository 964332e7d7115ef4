"""The data card of a prepared pair, computed with pandas: the figures of `pairs.card.card`, written a second way."""

import re
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Card = dict[str, Any]  # Any: plain JSON values
Frames = dict[str, pd.DataFrame]
Ints = npt.NDArray[np.int64]
LETTERS = ("X", "Y")
CLASSES = {"0": (0, 1), "1-2": (1, 3), "3-9": (3, 10), "10-99": (10, 100), "100+": (100, 2**62)}
LONG_ENOUGH = 5


def make_card(events: pd.DataFrame, items: pd.DataFrame, samples: Frames) -> Card:
    """`events` kept: user, id, domain, time; `items`: id, domain, title, attributes, train_count; samples a split."""
    domain_of = items["domain"].to_numpy()
    shown = {split: interactions(table) for split, table in samples.items()}
    for table in shown.values():
        table["domain"] = domain_of[table["item"]]
    users = {split: set(table["user"]) for split, table in samples.items()}
    per_domain = items.groupby("domain")
    lengths = {split: table["history"].str.len() for split, table in samples.items()}
    cells = shown["train"].groupby("domain").size() / (len(users["train"]) * per_domain.size())
    return {
        "items": by_domain(per_domain.size()),
        "duplicate_titles": by_domain(per_domain.size() - per_domain["title"].nunique()),
        "near": {letter: near_titles(part["title"]) for letter, part in in_domains(items).items()},
        "without_attributes": by_domain(per_domain["attributes"].agg(lambda words: (words == "").sum())),
        "users": {
            "all": len(set().union(*users.values())),
            **{split: len(ids) for split, ids in users.items()},
            "disjoint": not any(one & other for one, other in combinations(users.values(), 2)),
            "with_targets_in_both_domains": {
                split: share((t.groupby("user")["domain"].nunique() == 2).mean()) for split, t in samples.items()
            },
        },
        "samples": {split: {"all": len(t), **by_domain(t.groupby("domain").size())} for split, t in samples.items()},
        "interactions": {
            split: {"all": len(table), **by_domain(table.groupby("domain").size())} for split, table in shown.items()
        },
        "overlap": {
            split: share((table.groupby("user")["domain"].nunique() == 2).mean()) for split, table in shown.items()
        },
        "density": {letter: float(f"{value:.4g}") for letter, value in zip(LETTERS, cells, strict=True)},
        "history_length": {
            split: describe_lengths(table, lengths[split], domain_of) for split, table in samples.items()
        },
        "unseen_targets": {split: unseen(samples[split], items) for split in ("valid", "test")},
        "twins": {split: twins(table) for split, table in samples.items()},
        "popularity": {
            "items": {letter: describe_items(part["train_count"]) for letter, part in in_domains(items).items()},
            "targets": {split: describe_targets(table, items) for split, table in samples.items()},
        },
        "popularity_drift": {
            split: {LETTERS[d]: drift(samples["train"], samples[split], items, d) for d in (0, 1)}
            for split in ("valid", "test")
        },
        "coverage": {
            split: {LETTERS[d]: coverage(samples[split], shown[split], items, d) for d in (0, 1)} for split in samples
        },
        "repeats": {split: repeats(table, lengths[split]) for split, table in samples.items()},
        "alternation": alternation(samples["train"], domain_of),
        "months": months(events),
        "leaks": leaks(samples),
    }


def interactions(samples: pd.DataFrame) -> pd.DataFrame:
    """user, item: what histories and targets show, each once."""
    histories = samples[["user", "history"]].explode("history").rename(columns={"history": "item"})
    targets = samples[["user", "target"]].rename(columns={"target": "item"})
    both = pd.concat([histories, targets]).drop_duplicates()
    return both.astype({"item": "int64"})


def near_titles(titles: pd.Series) -> dict[str, int]:
    """Titles that an earlier one has but for word order or numbers."""
    distinct = titles.drop_duplicates()
    cleaned = distinct.str.lower().str.replace(r"['’]", "", regex=True)
    words = cleaned.map(lambda text: sorted(set(re.findall(r"[^\W_]+", text))))
    keys = [" ".join(some) if some else title for some, title in zip(words, distinct, strict=True)]
    plain = words.map(lambda some: [word for word in some if not any(c.isdigit() for c in word)])
    plain_keys = [" ".join(some) if len(some) >= 2 else title for some, title in zip(plain, distinct, strict=True)]
    return {
        "same_words": len(distinct) - len(set(keys)),
        "same_words_but_numbers": len(set(keys)) - len(set(plain_keys)),
    }


def describe_lengths(table: pd.DataFrame, lengths: pd.Series, domain_of: Ints) -> Card:
    """Mean, median and maximum, and the share of histories that hold both domains."""
    num_y = table["history"].map(lambda history: int(domain_of[history].sum()))
    return {
        "mean": round(float(lengths.mean()), 2),
        "median": float(lengths.median()),
        "max": int(lengths.max()),
        "with_both_domains": share(((num_y > 0) & (num_y < lengths)).mean()),
    }


def unseen(table: pd.DataFrame, items: pd.DataFrame) -> Card:
    """Share of the targets that never occur in train."""
    is_unseen = table["target"].map(items["train_count"]) == 0
    by = is_unseen.groupby(table["domain"]).mean()
    return {"all": share(is_unseen.mean()), **{letter: share(by[d]) for d, letter in enumerate(LETTERS)}}


def twins(table: pd.DataFrame) -> float:
    """Share of users with two samples of one history."""
    keys = pd.DataFrame({"user": table["user"], "history": table["history"].map(tuple)})
    return share(keys[keys.duplicated()]["user"].nunique() / table["user"].nunique())


def describe_items(counts: pd.Series) -> Card:
    """How uneven items are."""
    ordered = np.sort(counts.to_numpy())
    ranks = np.arange(1, len(ordered) + 1)
    return {
        "median": float(counts.median()),
        "p90": round(float(counts.quantile(0.9)), 1),
        "p99": round(float(counts.quantile(0.99)), 1),
        "max": int(counts.max()),
        "gini": share((2 * ranks - len(ordered) - 1) @ ordered / (len(ordered) * ordered.sum())),
        "never_in_train": share((counts == 0).mean()),
    }


def describe_targets(table: pd.DataFrame, items: pd.DataFrame) -> Card:
    """How popular what is asked for is."""
    count = table["target"].map(items["train_count"])
    head = {
        letter: part.sort_values("train_count", ascending=False, kind="stable")["id"].head(max(len(part) // 10, 1))
        for letter, part in in_domains(items).items()
    }
    return {
        "median_train_count": float(count.median()),
        "by_train_count": {
            name: share(((count >= low) & (count < high)).mean()) for name, (low, high) in CLASSES.items()
        },
        "of_most_popular_tenth": {
            letter: share(part["target"].isin(head[letter]).mean()) for letter, part in in_domains(table).items()
        },
    }


def drift(train: pd.DataFrame, held_out: pd.DataFrame, items: pd.DataFrame, domain: int) -> Card:
    """Jensen-Shannon distance of two splits' targets, beside what chance gives."""
    ids = items[items["domain"] == domain]["id"]
    one, other = (
        table["target"].value_counts().reindex(ids, fill_value=0).to_numpy().astype(np.int64)
        for table in (train, held_out)
    )
    drawn = np.random.default_rng(0).multinomial(int(other.sum()), one / one.sum())
    return {"distance": share(distance(one, other)), "by_chance": share(distance(one, drawn))}


def distance(one: Ints, other: Ints) -> float:
    """Jensen-Shannon, to base 2."""
    p, q = one / one.sum(), other / other.sum()
    middle = (p + q) / 2
    return float(np.sqrt(max(sum(0.5 * (a[a > 0] * np.log2(a[a > 0] / middle[a > 0])).sum() for a in (p, q)), 0.0)))


def coverage(table: pd.DataFrame, shown: pd.DataFrame, items: pd.DataFrame, domain: int) -> Card:
    """Which items and users a split shows and asks for."""
    num_items = int((items["domain"] == domain).sum())
    asked = table[table["domain"] == domain]
    return {
        "items_seen": share(shown[shown["domain"] == domain]["item"].nunique() / num_items),
        "items_asked": share(asked["target"].nunique() / num_items),
        "users": share(asked["user"].nunique() / table["user"].nunique()),
    }


def repeats(table: pd.DataFrame, lengths: pd.Series) -> Card:
    """Repeats inside histories, and targets that repeat one."""
    distinct = table["history"].map(lambda history: len(set(history)))
    again = [target in set(history) for target, history in zip(table["target"], table["history"], strict=True)]
    return {"in_history": share(1 - distinct.sum() / lengths.sum()), "targets": share(sum(again) / len(again))}


def alternation(train: pd.DataFrame, domain_of: Ints) -> Card:
    """How near to zipped the two domains are in the histories."""
    excess = spread = 0.0
    mixed = full = 0
    for history in train["history"]:
        domain = domain_of[history]
        num_y = int(domain.sum())
        num_x = len(domain) - num_y
        if num_x and num_y:
            switches = int((domain[1:] != domain[:-1]).sum())
            most, chance = 2 * min(num_x, num_y) - (num_x == num_y), 2 * num_x * num_y / len(domain)
            spread, excess = spread + most - chance, excess + switches - chance
            mixed, full = mixed + 1, full + (switches >= most - 1)
    return {"alternation": share(excess / spread), "fully_alternating_histories": share(full / mixed)}


def months(events: pd.DataFrame) -> Card:
    """Kept interactions of each domain by month."""
    month = pd.to_datetime(events["time"], unit="s").dt.strftime("%Y-%m")
    table = events.groupby([month, "domain"]).size().unstack(fill_value=0).sort_index()
    return {"months": table.index.tolist(), **{letter: table[d].tolist() for d, letter in enumerate(LETTERS)}}


def leaks(samples: Frames) -> dict[str, int]:
    """How often each check of the leak audit of a split by time finds something."""
    counts = {"history_later_than_target": 0, "target_in_history": 0, "held_out_in_train": 0, "identical_histories": 0}
    first = min(samples[split]["target_time"].min() for split in ("valid", "test"))
    counts["train_later_than_held_out"] = int((samples["train"]["target_time"] >= first).sum())
    events, keys = {}, {}
    for split, table in samples.items():
        times = zip(table["history_time"], table["target_time"], strict=True)
        counts["history_later_than_target"] += sum(bool((history > when).any()) for history, when in times)
        pairs = zip(table["target"], table["history"], strict=True)
        counts["target_in_history"] += sum(bool((history == target).any()) for target, history in pairs)
        long = table[["user", "history", "history_time"]].explode(["history", "history_time"])
        targets = table[["user", "target", "target_time"]].set_axis(["user", "history", "history_time"], axis=1)
        events[split] = pd.concat([long, targets]).astype("int64").drop_duplicates()
        wanted = table[table["history"].str.len() >= LONG_ENOUGH]
        keys[split] = pd.DataFrame({"user": wanted["user"], "history": wanted["history"].map(tuple)})
    for earlier, later in combinations(samples, 2):
        targets = samples[later][["user", "target", "target_time"]].set_axis(
            ["user", "history", "history_time"], axis=1
        )
        counts["held_out_in_train"] += len(targets.merge(events[earlier]))
        owners = keys[earlier].groupby("history")["user"].agg(["min", "max"])
        same = keys[later].join(owners, on="history", how="inner")
        counts["identical_histories"] += int(((same["user"] != same["min"]) | (same["user"] != same["max"])).sum())
    return counts


def in_domains(table: pd.DataFrame) -> Frames:
    """The rows of each domain, by its letter."""
    return {letter: table[table["domain"] == d] for d, letter in enumerate(LETTERS)}


def by_domain(values: "pd.Series[Any]") -> dict[str, int]:
    """A series by domain as plain numbers."""
    return {letter: int(values.get(d, 0)) for d, letter in enumerate(LETTERS)}


def share(value: float) -> float:
    """Four places."""
    return round(float(value), 4)
