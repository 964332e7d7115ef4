"""Tell by its first rows whether a file whose name leaves it open holds reviews."""

from pathlib import Path

from launch.errors import InputError
from pairs.reading.amazon import ITEM_KEYS, USER_KEYS
from pairs.reading.bad_rows import FileCount
from pairs.reading.csv_rows import NUMBER, first_line
from pairs.reading.json_rows import peek_json
from pairs.reading.ratings import HEADERS, is_csv


def holds_reviews(path: Path) -> bool:
    """Whether the file begins with rows of Amazon reviews, or "ratings only"; rubbish does not."""
    try:
        if is_csv(path):
            return _is_rating(first_line(path))
        peeked = peek_json(path, FileCount(path, 1.0))
    except InputError:
        return False
    return any(any(row.get(k) for k in USER_KEYS) and any(row.get(k) for k in ITEM_KEYS) for row in peeked)


def _is_rating(fields: list[str]) -> bool:
    if "user_id" in fields:
        return True
    return len(fields) == len(HEADERS["user_item"]) and all(NUMBER.fullmatch(field) for field in fields[2:])
