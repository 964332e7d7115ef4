"""What is written is what is read back."""

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from datasets import Dataset

from launch.artifacts import write_json
from pairs.tables import SPLITS, Samples, Split, load_pair, load_samples
from tests.pair_files import write_pair


def samples(first: int, *, times: bool) -> Samples:
    return Samples(
        sample=np.array([first, first + 1]),
        user=np.array([first, first]),
        domain=np.array([0, 1]),
        target=np.array([1, 2]),
        history=np.array([0, 3, 0]),
        offsets=np.array([0, 1, 3]),
        history_time=np.array([5, 5, 6]) if times else None,
        target_time=np.array([7, 8]) if times else None,
    )


def write(folder: Path, *, times: bool) -> dict[Split, Samples]:
    items = pl.DataFrame(
        {
            "item": [0, 1, 2, 3],
            "domain": [0, 0, 1, 1],
            "source_id": ["a", "b", "c", "d"],
            "title": ["A", "B", "C", "D"],
            "attributes": ["w", None, "", "x"],
        }
    )
    users = pl.DataFrame({"user": [0, 2, 4], "source_id": ["u", "v", "w"]})
    splits: dict[Split, Samples] = {split: samples(2 * n, times=times) for n, split in enumerate(SPLITS)}
    write_pair(folder / "pair", items=items, users=users, samples=splits)
    write_json(folder / "pair" / "card.json", {"pair": "p", "domains": ["Art", "Books"]})
    return splits


@pytest.mark.parametrize("times", [True, False])
def test_samples_come_back_as_they_were(tmp_path: Path, times: bool) -> None:
    written = write(tmp_path, times=times)
    for split in SPLITS:
        read = load_samples(tmp_path, split)
        for name in ("sample", "user", "domain", "target", "history", "offsets", "history_time", "target_time"):
            one, other = getattr(written[split], name), getattr(read, name)
            assert (one is None and other is None) or np.array_equal(one, other), name


def test_catalogue_comes_back_with_train_counts(tmp_path: Path) -> None:
    write(tmp_path, times=True)
    pair = load_pair(tmp_path)
    assert pair.domain_names == ("Art", "Books")
    assert pair.items.titles == ["A", "B", "C", "D"]
    assert pair.items.attributes == ["w", "", "", "x"]
    assert pair.items.train_count.tolist() == [1, 1, 1, 1]


def test_column_names_and_types_are_those_of_the_design(tmp_path: Path) -> None:
    write(tmp_path, times=False)
    schema = pq.read_schema(tmp_path / "pair" / "train.parquet" / "part-00000.parquet")
    assert {name: str(schema.field(name).type) for name in schema.names} == {
        "sample": "int64",
        "user": "int64",
        "domain": "int8",
        "history": "list<element: int64>",
        "history_time": "list<element: int64>",
        "target": "int64",
        "target_time": "int64",
    }
    schema = Dataset.from_file(str(tmp_path / "pair" / "train.arrow")).features.arrow_schema
    assert {name: str(schema.field(name).type) for name in schema.names} == {
        "sample": "int64",
        "user": "int64",
        "domain": "int8",
        "history": "large_list<item: int64>",
        "history_time": "large_list<item: int64>",
        "target": "int64",
        "target_time": "int64",
    }
    schema = pq.read_schema(tmp_path / "pair" / "items.parquet")
    assert {name: str(schema.field(name).type) for name in schema.names} == {
        "item": "int64",
        "domain": "int8",
        "source_id": "string",
        "title": "string",
        "attributes": "string",
        "train_count": "int64",
    }
