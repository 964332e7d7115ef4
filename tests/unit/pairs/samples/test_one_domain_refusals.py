"""Every row of users of one domain that cannot be meant is refused in one line with its file and number."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.fifos import fifo_at
from tests.unit.pairs.samples.given_files import GivenRow, changed, write_given, write_table
from tests.unit.pairs.samples.test_given_one_domain import EVENTS, as_rows
from tests.unit.pairs.samples.test_given_refusals import refused, row_of

FORMS = ["csv", "jsonl", "parquet"]
ROWS = as_rows(EVENTS)
ASKED = "has samples in train, valid or test, too; who is asked about teaches by them; mend or remove the"
WRONG: list[tuple[str, Sequence[GivenRow], int, str]] = [
    ("event, unknown item", changed(EVENTS, 3, item="zz"), 3, "names item 'zz', which the table of items lacks"),
    ("event, asked user", changed(EVENTS, 2, user="zoë"), 2, f"user 'zoë' {ASKED}"),
    ("event, user of test", changed(EVENTS, 2, user="q"), 2, f"user 'q' {ASKED}"),
    ("event, no user", changed(EVENTS, 1, user=None), 1, "has no user"),
    ("event, no item", changed(EVENTS, 1, item=None), 1, "has no item"),
    ("event, no time", changed(EVENTS, 4, time=None), 4, "has no time"),
    ("event, milliseconds", changed(EVENTS, 4, time=1_500_000_000_000), 4, "has a time outside .*divide milliseconds"),
    ("event, negative time", changed(EVENTS, 0, time=-1), 0, "has a time outside"),
    ("event, endless user", changed(EVENTS, 0, user="u" * 1001), 0, "its user must not be longer than 1000 bytes"),
    ("row, unknown item", changed(ROWS, 1, history=["7", "zz"]), 1, "names item 'zz', which the table of items lacks"),
    ("row, asked user", changed(ROWS, 1, user="zoë"), 1, f"user 'zoë' {ASKED}"),
    ("row, user twice", [*ROWS, ROWS[0]], 2, "user 'lone' is there already, a user of one domain has one row"),
    ("row, no user", changed(ROWS, 1, user=None), 1, "has no user"),
    ("row, empty history", changed(ROWS, 1, history=[], history_time=[]), 1, "has an empty history"),
    ("row, no times", changed(ROWS, 1, history_time=None), 1, "has no history_time"),
    ("row, too few times", changed(ROWS, 1, history_time=[15]), 1, "history_time has not one time for each item"),
    ("row, unsorted times", changed(ROWS, 1, history_time=[21, 15]), 1, "history_time is not in order, oldest first"),
    ("row, milliseconds", changed(ROWS, 1, history_time=[15, 1_500_000_000_000]), 1, "has a time outside"),
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("rows", "place", "said"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_row_is_refused(tmp_path: Path, form: str, rows: Sequence[GivenRow], place: int, said: str) -> None:
    folder = write_given(tmp_path / "given", form)
    write_table(folder / f"one_domain.{form}", rows)
    refused(folder, tmp_path / "run", rf"one_domain\.{row_of(form, place)}: {said}", graph_users="one_domain")


def without(rows: Sequence[GivenRow], *names: str) -> list[GivenRow]:
    return [{key: value for key, value in row.items() if key not in names} for row in rows]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (without(EVENTS, "time"), r"has no column 'time' \(its columns: user, item\); add or rename it"),
        (without(EVENTS, "user"), r"has no column 'user' \(its columns: item, time\)"),
        (without(EVENTS, "item"), r"has neither of the columns 'item' .* and 'history' .* \(its columns: user, time\)"),
        ([{**row, "item": "b1"} for row in ROWS], "has both of the columns 'item' .* and 'history' .*; give it one"),
        (without(ROWS, "history_time"), r"has no column 'history_time' \(its columns: user, history\)"),
        ([{**row, "target": "b1"} for row in ROWS], "has a column 'target', for which users of one domain are never"),
    ],
)
def test_columns_that_do_not_tell_are_refused(tmp_path: Path, form: str, rows: Sequence[GivenRow], said: str) -> None:
    folder = write_given(tmp_path / "given", form)
    write_table(folder / f"one_domain.{form}", rows)
    refused(folder, tmp_path / "run", rf"one_domain\.{form}: {said}", graph_users="one_domain")


def test_a_user_twice_is_seen_across_files_and_batches(tmp_path: Path) -> None:
    folder = write_given(tmp_path / "given", "csv")
    write_table(folder / "one_domain-0.parquet", ROWS)
    write_table(folder / "one_domain-1.csv", [{**ROWS[1], "history": ["b1", "7"]}])
    said = r"one_domain-1\.csv: line 2: user 'late' is there already"
    refused(folder, tmp_path / "run", said, graph_users="one_domain")


def test_files_of_two_forms_are_refused(tmp_path: Path) -> None:
    folder = write_given(tmp_path / "given", "csv")
    write_table(folder / "one_domain-0.jsonl", ROWS)
    write_table(folder / "one_domain-1.csv", EVENTS)
    said = r"one_domain-1\.csv: holds events with times, one_domain-0\.jsonl a row for each user; give all files one"
    refused(folder, tmp_path / "run", said, graph_users="one_domain")


def test_a_file_twice_and_what_is_no_file_are_refused(tmp_path: Path) -> None:
    folder = write_given(tmp_path / "given", "csv")
    write_table(folder / "one_domain-0.csv", EVENTS)
    (folder / "one_domain-1.csv").write_bytes((folder / "one_domain-0.csv").read_bytes())
    refused(folder, tmp_path / "run", r"one_domain-1\.csv: holds .* of one_domain-0\.csv", graph_users="one_domain")
    with fifo_at(folder / "one_domain-1.csv"):
        refused(folder, tmp_path / "run", r"one_domain-1\.csv: is a FIFO and no file", graph_users="one_domain")
    (folder / "one_domain-1.csv").unlink()
    (folder / "one_domain-0.csv").write_bytes(b"")
    said = r"one_domain-0\.csv: has neither of the columns .* \(its columns: none\)"
    refused(folder, tmp_path / "run", said, graph_users="one_domain")
