"""A file of samples belongs to one split; the same under two names is refused."""

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from launch.errors import InputError
from pairs.config import PairConfig
from pairs.samples.given import read_given
from tests.unit.pairs.samples.given_files import ITEMS, SAMPLES, GivenRow, write_table


def of_split(split: str) -> list[GivenRow]:
    """One split's rows, without its name."""
    return [{key: row[key] for key in row if key != "split"} for row in SAMPLES if row["split"] == split]


def pack_as(source: Path, target: Path) -> None:
    """Gzip, under a name that does not say so."""
    target.write_bytes(gzip.compress(source.read_bytes()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Items, train and valid."""
    write_table(tmp_path / "given" / "items.csv", ITEMS)
    for split in ("train", "valid"):
        write_table(tmp_path / "given" / f"{split}.csv", of_split(split))
    return tmp_path / "given"


def refusal(folder: Path) -> str:
    config = PairConfig(source="samples", path=str(folder))
    with pytest.raises(InputError) as refused:
        read_given(config, scratch=folder.parent / "scratch")
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("double", [shutil.copy, os.link, os.symlink, pack_as])
def test_one_file_for_two_splits_is_refused(folder: Path, double: Callable[[Path, Path], object]) -> None:
    double(folder / "valid.csv", folder / "test.csv")
    assert refusal(folder).endswith("test.csv: holds the samples of valid.csv; a sample is of one split, once")


def test_one_part_of_a_split_twice_is_refused(folder: Path) -> None:
    write_table(folder / "test.csv", of_split("test"))
    shutil.copy(folder / "train.csv", folder / "train-0001.csv")
    assert "holds the samples of train" in refusal(folder)


def test_samples_of_two_splits_are_refused_in_another_order_and_form(folder: Path) -> None:
    write_table(folder / "test.parquet", of_split("valid")[::-1])
    said = refusal(folder)
    assert "is the sample of" in said
    assert "once more" in said
