"""Tables of items and samples as a stranger writes them, in every form."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

GivenRow = Mapping[str, Any]  # Any: what the column holds
ITEMS: list[GivenRow] = [
    {"item": "b2", "domain": "book", "title": "Bread &amp; salt", "attributes": "Food, baking"},
    {"item": "b1", "domain": "book", "title": "A walk", "attributes": None},
    {"item": "7", "domain": "art", "title": "Brush, No. 4", "attributes": "brush"},
    {"item": "a9", "domain": "art", "title": "Ink", "attributes": "ink black"},
]
SAMPLES: list[GivenRow] = [
    {"split": "train", "user": "zoë", "history": ["b1"], "target": "7", "history_time": [10], "target_time": 20},
    {"split": "valid", "user": "12", "history": ["a9"], "target": "b1", "history_time": [5], "target_time": 95},
    {"split": "train", "user": "12", "history": ["a9"], "target": "b2", "history_time": [5], "target_time": 9},
    {
        "split": "valid",
        "user": "zoë",
        "history": ["b1", "7"],
        "target": "a9",
        "history_time": [10, 20],
        "target_time": 90,
    },
    {"split": "test", "user": "q", "history": ["b1"], "target": "b2", "history_time": [50], "target_time": 150},
    {"split": "test", "user": "r", "history": ["b2"], "target": "7", "history_time": [50], "target_time": 150},
]


def write_table(path: Path, rows: Sequence[GivenRow]) -> Path:
    """The rows as a file of the form that its name says; keys of the first row are the columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), path, row_group_size=2)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(dict(row), ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            to = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
            to.writerow(rows[0])
            to.writerows([_as_field(row.get(key)) for key in rows[0]] for row in rows)
    return path


def write_given(
    folder: Path, form: str, *, items: Sequence[GivenRow] = ITEMS, samples: Sequence[GivenRow] = SAMPLES
) -> Path:
    """`items.FORM` and `samples.FORM`."""
    write_table(folder / f"items.{form}", items)
    write_table(folder / f"samples.{form}", samples)
    return folder


def without_times(samples: Sequence[GivenRow]) -> list[GivenRow]:
    """The same without their times."""
    return [{key: value for key, value in row.items() if not key.endswith("_time")} for row in samples]


def changed(rows: Sequence[GivenRow], place: int, **changes: Any) -> list[GivenRow]:  # Any: what the column holds
    """The rows, one of them otherwise."""
    return [{**row, **changes} if number == place else row for number, row in enumerate(rows)]


def _as_field(value: Any) -> str:  # Any: what the column holds
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "" if value is None else str(value)
