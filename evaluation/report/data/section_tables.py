"""The tables of the data card: what differs between the domains, and what differs between the splits.

A row stands only where the card holds a value of it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evaluation.report.card_values import SPLITS, count, day, look, present_splits, share, small_share
from evaluation.report.report_parts import Table

Json = Mapping[str, Any]  # Any: plain JSON values
Spec = tuple[str, str, Callable[[Any], str]]  # Any: a JSON value
"""What a row is called, the path of its values with * for the column, how they are written."""
ABSENT = "–"


def _decimal(value: float) -> str:
    return f"{value:,.1f}"


def _first_day(targets: Sequence[str]) -> str:
    return day(targets[0])


def _last_day(targets: Sequence[str]) -> str:
    return day(targets[1])


def _drift(drift: Json) -> str:
    distance, chance = drift.get("distance"), drift.get("by_chance")
    return ABSENT if distance is None or chance is None else f"{distance:.3f} ({chance:.3f})"


def _age(age: Json) -> str:
    return f"{age['median']:,.1f} ({age['p10']:,.1f}, {age['p90']:,.1f})"


def _close_ids(closeness: Json) -> str:
    return f"{small_share(closeness['targets'])} ({small_share(closeness['by_chance'])})"


DOMAIN_ROWS: tuple[Spec, ...] = (
    ("items", "items.*", count),
    ("interactions in train", "interactions.train.*", count),
    ("density in train", "density.*", small_share),
    ("interactions of an item in train, median", "popularity.items.*.median", count),
    ("interactions of an item in the top hundredth, at least", "popularity.items.*.p99", count),
    ("interactions of the most popular item", "popularity.items.*.max", count),
    ("inequality of items (Gini)", "popularity.items.*.gini", "{:.2f}".format),
    ("items never in train", "popularity.items.*.never_in_train", share),
    ("items without attributes", "without_attributes.*", count),
    ("titles that an earlier item has too", "duplicate_titles.*", count),
    ("titles equal but for order, case or punctuation", "near_duplicate_titles.*.same_words", count),
    ("titles equal but for numbers", "near_duplicate_titles.*.same_words_but_numbers", count),
    ("longest title, characters", "near_duplicate_titles.*.longest", count),
)
SPLIT_ROWS: tuple[Spec, ...] = (
    ("users", "users.*", count),
    ("users with interactions in one domain only", "users_of_one_domain.*", count),
    ("users with interactions in both domains", "overlap.*", share),
    ("users with targets in both domains", "users.with_targets_in_both_domains.*", share),
    ("samples", "samples.*.all", count),
    ("samples, target in X", "samples.*.X", count),
    ("samples, target in Y", "samples.*.Y", count),
    ("interactions, of histories and targets", "interactions.*.all", count),
    ("first target", "time_range.*.targets", _first_day),
    ("last target", "time_range.*.targets", _last_day),
    ("histories from", "time_range.*.histories_from", day),
    ("history length, median", "history_length.*.median", count),
    ("history length, mean", "history_length.*.mean", _decimal),
    ("history length, longest", "history_length.*.max", count),
    ("histories with both domains", "history_length.*.with_both_domains", share),
    ("interactions of a history that repeat an earlier one", "repeats.*.in_history", share),
    ("targets that repeat one of their history", "repeats.*.targets", share),
    ("users with twins: two samples with one history", "twins.*", share),
    ("age of the train data at a target, days: median (tenth, ninth tenth)", "train_age_days.*", _age),
    ("targets never in train", "unseen_targets.*.all", share),
    ("targets never in train, X", "unseen_targets.*.X", share),
    ("targets never in train, Y", "unseen_targets.*.Y", share),
    ("targets whose id is close to one of the history's (by chance)", "id_closeness.*", _close_ids),
    ("median train count of a target", "popularity.targets.*.median_train_count", count),
    ("targets among the most popular tenth, X", "popularity.targets.*.of_most_popular_tenth.X", share),
    ("targets among the most popular tenth, Y", "popularity.targets.*.of_most_popular_tenth.Y", share),
    ("drift of X's targets (by chance)", "popularity_drift.*.X", _drift),
    ("drift of Y's targets (by chance)", "popularity_drift.*.Y", _drift),
    ("X's items that occur", "coverage.*.X.items_seen", share),
    ("Y's items that occur", "coverage.*.Y.items_seen", share),
    ("X's items that are asked for", "coverage.*.X.items_asked", share),
    ("Y's items that are asked for", "coverage.*.Y.items_asked", share),
    ("users asked about X", "coverage.*.X.users", share),
    ("users asked about Y", "coverage.*.Y.users", share),
)


def domain_table(card: Json) -> Table | None:
    """The card by domain."""
    names = look(card, "domains") or ["", ""]
    header = [f"{letter}: {name}" if name else letter for letter, name in zip("XY", names, strict=True)]
    return _table(card, DOMAIN_ROWS, ("X", "Y"), header)


def split_table(card: Json) -> Table | None:
    """The card by split."""
    return _table(card, SPLIT_ROWS, SPLITS, SPLITS)


def class_table(card: Json) -> Table | None:
    """Each split's targets by how often train shows them."""
    popularity = look(card, "popularity.targets")
    classes = {split: look(popularity, f"{split}.by_train_count") for split in present_splits(popularity)}
    rows = [
        [split, *(share(value) for value in classes_of.values())] for split, classes_of in classes.items() if classes_of
    ]
    names = next((list(classes_of) for classes_of in classes.values() if classes_of), [])
    return Table(["times in train", *names], rows) if rows else None


def _table(card: Json, specs: Sequence[Spec], keys: Sequence[str], header: Sequence[str]) -> Table | None:
    rows = []
    for label, path, write in specs:
        values = [look(card, path.replace("*", key)) for key in keys]
        if any(value is not None for value in values):
            rows.append([label, *(ABSENT if value is None else write(value) for value in values)])
    return Table(["", *header], rows) if rows else None
