"""Read raw Amazon reviews and metadata: the 2014, 2018 and 2023 forms, told apart by their keys."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from launch.errors import InputError
from pairs.config import AttributeKind
from pairs.reading.bad_rows import FileCount, Ledger
from pairs.reading.json_lines import Row
from pairs.reading.json_rows import json_form, peek_json
from pairs.reading.ratings import is_csv, read_ratings
from pairs.reading.raw_keys import AMAZON_BEGAN, EVENT_SCHEMA, EventKeys, ItemKeys
from pairs.reading.read_rows import read_rows

USER_KEYS = ("user_id", "reviewerID")
ITEM_KEYS = ("parent_asin", "asin")
TIME_KEYS = ("timestamp", "unixReviewTime")
RATING_KEYS = ("rating", "overall")
CATEGORY_KEYS = ("categories", "category")
BRAND_KEYS = ("store", "brand")
FEATURE_KEYS = ("features", "feature")
ATTRIBUTE_KEYS: dict[AttributeKind, tuple[str, ...]] = {
    "categories": CATEGORY_KEYS,
    "brand": BRAND_KEYS,
    "features": FEATURE_KEYS,
}
STRICT = Ledger(max_share=0.0)


def read_reviews(path: Path, ledger: Ledger = STRICT, *, order: str = "auto") -> Iterator[pl.DataFrame]:
    """user, item, time (seconds), rating of every review, in file order, a block at a time; `order` is for
    ratings-only files."""
    count = ledger.open(path)
    if is_csv(path):
        return read_ratings(path, count, order=order)
    peeked = peek_json(path, count)
    if not peeked:
        return iter([pl.DataFrame(schema=EVENT_SCHEMA)])
    user, item, time = (_key_of(path, peeked, names, "reviews") for names in (USER_KEYS, ITEM_KEYS, TIME_KEYS))
    return read_json_events(
        path, EventKeys(user, item, time, _find_key(peeked, RATING_KEYS), first_year=AMAZON_BEGAN), peeked, count
    )


def read_metadata(
    path: Path,
    ledger: Ledger = STRICT,
    *,
    max_chars: int = 1000,
    attributes: Sequence[AttributeKind] = ("categories", "brand"),
) -> Iterator[pl.DataFrame]:
    """item, title (cleaned, "" if none), attributes (words of what `attributes` names), cut (too long a title) of every
    item, in file order, a block at a time."""
    count = ledger.open(path)
    peeked = peek_json(path, count)
    if not peeked:
        raise InputError(f"{path}: holds no item: an empty domain; fetch the metadata again")
    item, title = (_key_of(path, peeked, keys, "metadata") for keys in (ITEM_KEYS, ("title",)))
    words = (_find_key(peeked, ATTRIBUTE_KEYS[kind]) for kind in attributes)
    keys = ItemKeys(item, title, tuple(key for key in words if key is not None))
    return read_json_items(path, keys, peeked, count, max_chars=max_chars)


def read_json_events(path: Path, keys: EventKeys, peeked: list[Row], count: FileCount) -> Iterator[pl.DataFrame]:
    """The interactions of a file of JSON lines."""
    form = json_form(peeked, keys.columns())
    return map(keys.finish, read_rows(path, form, keys.columns(), keys.checks(), count))


def read_json_items(
    path: Path, keys: ItemKeys, peeked: list[Row], count: FileCount, *, max_chars: int
) -> Iterator[pl.DataFrame]:
    """The items of a file of JSON lines."""
    form = json_form(peeked, keys.columns())
    return (
        keys.finish(rows, max_chars=max_chars) for rows in read_rows(path, form, keys.columns(), keys.checks(), count)
    )


def _find_key(peeked: list[Row], keys: tuple[str, ...]) -> str | None:
    return next((key for key in keys if any(row.get(key) is not None for row in peeked)), None)


def _key_of(path: Path, peeked: list[Row], keys: tuple[str, ...], kind: str) -> str:
    key = _find_key(peeked, keys)
    if key is None:
        raise InputError(f"{path}: line 1 has none of the keys {', '.join(keys)}; is it a file of Amazon {kind}?")
    return key
