"""Every row that cannot be meant is refused in one line with its file and number, in every form."""

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from launch.errors import InputError
from pairs.config import PairConfig
from pairs.prepare import prepare
from tests.fifos import fifo_at
from tests.unit.pairs.samples.given_files import (
    ITEMS,
    SAMPLES,
    GivenRow,
    changed,
    without_times,
    write_given,
    write_table,
)

FORMS = ["csv", "jsonl", "parquet"]
UNTIMED = without_times(SAMPLES)


def refused(folder: Path, run_dir: Path, said: str, **changes: Any) -> None:
    """`prepare` ends with one line that says so, and leaves no table."""
    with pytest.raises(InputError, match=said) as error:
        prepare(PairConfig(source="samples", path=str(folder), **changes), run_dir=run_dir)
    assert "\n" not in str(error.value)
    assert list((run_dir / "pair").iterdir()) == []


def row_of(form: str, place: int) -> str:
    """How the refusal names the row at `place` of a table."""
    return {
        "csv": f"csv: line {place + 2}",
        "jsonl": f"jsonl: line {place + 1}",
        "parquet": f"parquet: row {place + 1}",
    }[form]


WRONG: list[tuple[str, Sequence[GivenRow], int, str]] = [
    ("no split", changed(SAMPLES, 3, split=None), 3, "has no split; mend or remove the"),
    ("another split", changed(SAMPLES, 4, split="dev"), 4, "split must be train, valid or test, got 'dev'"),
    ("no user", changed(SAMPLES, 2, user=None), 2, "has no user"),
    ("no target", changed(SAMPLES, 2, target=None), 2, "has no target"),
    ("empty history", changed(UNTIMED, 1, history=[]), 1, "has an empty history"),
    ("no history", changed(UNTIMED, 1, history=None), 1, "has an empty history"),
    ("unknown target", changed(SAMPLES, 5, target="zz"), 5, "names item 'zz', which the table of items lacks"),
    ("unknown item", changed(SAMPLES, 3, history=["b1", "zz\x1b"]), 3, r"names item 'zz\\x1b', which the table"),
    ("unsorted times", changed(SAMPLES, 3, history_time=[20, 10]), 3, "history_time is not in order, oldest first"),
    ("too few times", changed(SAMPLES, 3, history_time=[20]), 3, "history_time has not one time for each item"),
    ("one time", changed(SAMPLES, 3, target_time=None), 3, "has one of history_time and target_time"),
    ("some times", changed(SAMPLES, 3, target_time=None, history_time=None), 3, "has no time, unlike the first sample"),
    ("negative time", changed(SAMPLES, 0, history_time=[-1]), 0, r"has a time outside 1970\.\.2099; times are seconds"),
    (
        "milliseconds",
        changed(SAMPLES, 0, target_time=1_500_000_000_000),
        0,
        r"has a time outside .*\(divide milliseconds by 1000",
    ),
    ("a sample twice", [*SAMPLES, SAMPLES[1]], 6, "is the sample of samples.* 2, once more"),
    ("in two splits", [*UNTIMED, {**UNTIMED[2], "split": "test"}], 6, "is the sample of samples.* 3, once more"),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("samples", "place", "said"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_sample_is_refused(tmp_path: Path, form: str, samples: Sequence[GivenRow], place: int, said: str) -> None:
    folder = write_given(tmp_path / "given", form, samples=samples)
    if said.endswith("once more") and form == "csv":
        said = said.replace(" 2,", " 3,") if " 2," in said else said.replace(" 3,", " 4,")
    refused(folder, tmp_path / "run", rf"samples\.{row_of(form, place)}: {said}")


WRONG_ITEMS: list[tuple[str, Sequence[GivenRow], str]] = [
    ("no id", changed(ITEMS, 1, item=None), r"items\.ROW1: has no item"),
    ("no domain", changed(ITEMS, 1, domain=None), r"items\.ROW1: has no domain"),
    ("id twice", changed(ITEMS, 2, item="b1"), r"items\.ROW2: item 'b1' is there already"),
    ("three domains", changed(ITEMS, 2, domain="film"), r"names 3 domains \('art', 'book', 'film'\), a pair has two"),
    ("one domain", [{**row, "domain": "art"} for row in ITEMS], r"names 1 domains \('art'\), a pair has two"),
    ("no title", changed(ITEMS, 3, title="<br>"), r"items\.ROW3: has no title for item 'a9'"),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("items", "said"), [w[1:] for w in WRONG_ITEMS], ids=[w[0] for w in WRONG_ITEMS])
def test_item_is_refused(tmp_path: Path, form: str, items: Sequence[GivenRow], said: str) -> None:
    folder = write_given(tmp_path / "given", form, items=items)
    for place in range(4):
        said = said.replace(f"ROW{place}", row_of(form, place))
    refused(folder, tmp_path / "run", said)


def test_time_in_words_is_refused_in_csv(tmp_path: Path) -> None:
    folder = write_given(tmp_path / "a", "csv", samples=changed(SAMPLES, 1, target_time="2020-01-01"))
    refused(
        folder, tmp_path / "run", r"samples\.csv: line 3: target_time must be a whole number of seconds, got '2020-01"
    )
    folder = write_given(tmp_path / "b", "csv", samples=changed(SAMPLES, 1, history_time=[5.5]))
    refused(
        folder, tmp_path / "run", r"samples\.csv: line 3: history_time must be a list of whole numbers .*got '5\.5'"
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"history": "a9"}, "history must be a list of item ids, got 'a9'"),
        ({"history": [["a9"]]}, "history must be a list of item ids"),
        ({"history": ["a9", True]}, "history must be a list of item ids"),
        ({"user": 1.5}, "user must be text or a whole number, got '1.5'"),
        ({"target": {"id": "a9"}}, "target must be text or a whole number"),
        ({"target_time": "95"}, "target_time must be a whole number of seconds, got '95'"),
        ({"target_time": 95.0}, "target_time must be a whole number of seconds"),
        ({"target_time": 10**30}, "target_time must be a whole number of seconds"),
        ({"history_time": [None]}, "history_time holds a null"),
        ({"history": ["a9", None], "history_time": [5, 6]}, "its history holds a null"),
    ],
)
def test_json_of_another_type_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    folder = write_given(tmp_path / "given", "jsonl", samples=changed(SAMPLES, 1, **changes))
    refused(folder, tmp_path / "run", rf"samples\.jsonl: line 2: {said}")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("history", "a9", "column 'history' must be a list of item ids, it is String; cast it"),
        ("target", 1.5, "column 'target' must be text or a whole number, it is Float64"),
        ("target_time", "5", "column 'target_time' must be a whole number of seconds, it is String"),
        (
            "history_time",
            [0.5],
            r"column 'history_time' must be a list of whole numbers of seconds, it is List\(Float64\)",
        ),
    ],
)
def test_parquet_of_another_type_is_refused(tmp_path: Path, name: str, value: object, said: str) -> None:
    folder = write_given(tmp_path / "given", "parquet", samples=[{**row, name: value} for row in SAMPLES])
    refused(folder, tmp_path / "run", rf"samples\.parquet: {said}")


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        (
            "target_time",
            pl.Series([5] * (len(SAMPLES) - 1) + [2**63 + 5], dtype=pl.UInt64),
            "row [0-9]+: cannot be read",
        ),
        ("user", pl.Series([b"a"] * len(SAMPLES)), "column 'user' must be text or a whole number, it is Binary"),
    ],
)
def test_parquet_of_values_without_room_is_refused(tmp_path: Path, name: str, values: pl.Series, said: str) -> None:
    folder = write_given(tmp_path / "given", "parquet")
    path = folder / "samples.parquet"
    pl.read_parquet(path).with_columns(values.alias(name)).write_parquet(path)
    refused(folder, tmp_path / "run", rf"samples\.parquet: {said}")


def test_parquet_attributes_that_are_no_texts_are_refused(tmp_path: Path) -> None:
    folder = write_given(tmp_path / "given", "parquet")
    path = folder / "items.parquet"
    pl.read_parquet(path).with_columns(pl.lit(b"\xff\xfe").alias("attributes")).write_parquet(path)
    refused(folder, tmp_path / "run", r"items\.parquet: column 'attributes' must be text or a list of texts")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("missing", ["split", "user", "history", "target"])
def test_a_missing_column_is_named(tmp_path: Path, form: str, missing: str) -> None:
    samples = [{key: value for key, value in row.items() if key != missing} for row in SAMPLES]
    folder = write_given(tmp_path / "given", form, samples=samples)
    refused(folder, tmp_path / "run", rf"samples\.{form}: has no column '{missing}' \(its columns: .*\); add or rename")


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_an_empty_split_is_refused(tmp_path: Path, split: str) -> None:
    folder = write_given(tmp_path / "given", "csv", samples=[row for row in SAMPLES if row["split"] != split])
    refused(folder, tmp_path / "run", f"holds no sample of split {split}; add some")


def test_a_splits_file_that_says_another_split_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "given" / "items.csv", ITEMS)
    for split in ("train", "valid", "test"):
        write_table(tmp_path / "given" / f"{split}.csv", [row for row in SAMPLES if row["split"] == split])
    prepare(PairConfig(source="samples", path=str(tmp_path / "given")), run_dir=tmp_path / "fine")
    (tmp_path / "given" / "test.csv").rename(tmp_path / "given" / "valid-2.csv")
    write_table(tmp_path / "given" / "test.csv", SAMPLES[5:])
    refused(tmp_path / "given", tmp_path / "run", r"valid-2\.csv: line 2: split is 'test', in the file of valid")


def test_folders_that_do_not_tell_are_refused(tmp_path: Path) -> None:
    folder = write_given(tmp_path / "given", "csv")
    write_table(folder / "test.csv", SAMPLES)
    refused(folder, tmp_path / "run", r"samples\.csv and test\.csv: keep one of them")
    (folder / "samples.csv").unlink()
    refused(folder, tmp_path / "run", r"holds no train\.csv, train\.jsonl or train\.parquet; add it")
    (folder / "test.csv").rename(folder / "tests.csv")
    refused(folder, tmp_path / "run", r"tests\.csv: its name says none of items, samples, train, valid, test")
    (folder / "tests.csv").unlink()
    (folder / "items.csv").unlink()
    refused(folder, tmp_path / "run", r"holds no items\.csv, items\.jsonl or items\.parquet")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    folder = write_given(tmp_path / "given", "csv")
    with fifo_at(folder / "samples.csv"):
        refused(folder, tmp_path / "run", r"samples\.csv: is a .* and no file")
    (folder / "samples.csv").unlink()
    (folder / "samples.csv").mkdir()
    refused(folder, tmp_path / "run", r"samples\.csv: is a .* and no file")


def test_damage_is_told(tmp_path: Path) -> None:
    folder = write_given(tmp_path / "given", "parquet")
    (folder / "samples.parquet").write_bytes((folder / "samples.parquet").read_bytes()[:-7])
    refused(folder, tmp_path / "run", r"samples\.parquet: truncated or damaged")
    (folder / "samples.parquet").unlink()
    write_table(folder / "samples.jsonl", SAMPLES)
    packed = gzip.compress((folder / "samples.jsonl").read_bytes())
    (folder / "samples.jsonl").unlink()
    (folder / "samples.jsonl.gz").write_bytes(packed[:-20])
    refused(folder, tmp_path / "run", r"samples\.jsonl\.gz: truncated or damaged")
    (folder / "samples.jsonl.gz").write_bytes(gzip.compress(b'{"split": "train"\n'))
    refused(folder, tmp_path / "run", r"samples\.jsonl\.gz: line 1: is not a JSON object in UTF-8; mend or remove")
    (folder / "samples.jsonl.gz").unlink()
    (folder / "samples.csv").write_bytes(b"split,user,history,target\ntrain,u,a9,b1,more\n")
    refused(folder, tmp_path / "run", r"samples\.csv: line 2: has a wrong number of fields, expected split, user")
    (folder / "samples.csv").write_bytes(b"split,user,history,target\ntrain,\xff,a9,b1\n")
    refused(folder, tmp_path / "run", r"samples\.csv: line 2: is not UTF-8 text")
    (folder / "samples.csv").write_bytes(b"split,user,user,history,target\n")
    refused(folder, tmp_path / "run", r"samples\.csv: names the column 'user' twice")
    (folder / "samples.csv").write_bytes(b"")
    refused(folder, tmp_path / "run", r"samples\.csv: has no column 'split' \(its columns: none\)")
