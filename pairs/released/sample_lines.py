"""The lines of a released pair's samples as checked tables: one row an event."""

from pathlib import Path

import polars as pl

from launch.errors import InputError
from pairs.reading.line_blocks import read_lines
from pairs.reading.raw_keys import TIME_END

MOST_LINES_OF_USER = 2
"""One for each of his targets."""
NUMBER = r"^-?[0-9]{1,18}$"


def read_sample_lines(path: Path, *, num_items: int) -> pl.DataFrame:
    """One row an event: line (from 1), user, answer_time, item, time; checked, in file order and then time order."""
    lines = number_lines(path)
    if lines.is_empty():
        raise InputError(f"{path}: holds no sample; fetch the file again")
    lines = lines.with_columns(field=pl.col("text").str.strip_chars_end("\t").str.split("\t"))
    field = pl.col("field").list
    head = lines.with_columns(
        user=to_number(field.get(0, null_on_oob=True)), answer_time=to_number(field.get(1, null_on_oob=True))
    )
    headless = pl.any_horizontal(pl.col("user", "answer_time").is_null())
    refuse_line(path, head, headless, "must begin with user TAB answer_time")
    for name in ("user", "answer_time"):
        refuse_line(path, head, pl.col(name) < 0, f"has a negative {name} {{{name}}}")
    refuse_line(path, head, field.len() < 4, "needs a history and a target after user TAB answer_time")
    events = _events(path, head, num_items=num_items)
    ends = events.group_by("line", maintain_order=True).agg(pl.all().last(), pl.col("time").min().alias("start"))
    no_target = pl.col("time") != pl.col("answer_time")
    refuse_line(path, ends, no_target, "has no item at its answer_time {answer_time}")
    no_history = pl.col("start") == pl.col("answer_time")
    refuse_line(path, ends, no_history, "has no history before its answer_time {answer_time}")
    _refuse_repeats(path, events)
    _refuse_other_histories(path, events)
    return events


def _events(path: Path, head: pl.DataFrame, *, num_items: int) -> pl.DataFrame:
    """line, user, answer_time, item, time of every `item|time|time`, a line's by time."""
    fields = head.select("line", "user", "answer_time", field=pl.col("field").list.slice(2))
    parts = fields.explode("field", empty_as_null=False).with_columns(part=pl.col("field").str.split("|"))
    wrong = pl.col("part").list.len() != 3
    refuse_line(path, parts, wrong, "has a wrong number of fields in {field!r}, expected item|time|time")
    part = pl.col("part").list
    numbers = parts.with_columns(item=to_number(part.get(0)), time=to_number(part.get(1)))
    no_numbers = pl.any_horizontal(pl.col("item", "time").is_null())
    refuse_line(path, numbers, no_numbers, "has no numbers in {field!r}")
    outside = ~pl.col("item").is_between(0, num_items - 1)
    refuse_line(path, numbers, outside, f"names item {{item}}, outside the catalogue (0..{num_items - 1})")
    refuse_line(path, numbers, pl.col("time") < 0, "has a negative time in {field!r}")
    beyond = pl.max_horizontal("time", "answer_time") >= TIME_END
    refuse_line(
        path, numbers, beyond, "has a time later than the year 2100 in {field!r}: seconds are needed, not milliseconds"
    )
    late = pl.col("time") > pl.col("answer_time")
    refuse_line(path, numbers, late, "holds item {item} at time {time}, later than its target at {answer_time}")
    return numbers.select("line", "user", "answer_time", "item", "time").sort("line", "time", maintain_order=True)


def _refuse_repeats(path: Path, events: pl.DataFrame) -> None:
    """InputError for a line that holds what another line of its user holds, and for a user's third."""
    whole = events.group_by("line", maintain_order=True).agg(pl.col("user").first(), event=pl.struct("item", "time"))
    first = whole.group_by("user", "event").agg(pl.col("line").min().alias("first"))
    same = whole.join(first, on=["user", "event"]).filter(pl.col("line") > pl.col("first")).sort("line")
    refuse_line(path, same, pl.lit(True), "repeats line {first}")
    counted = whole.with_columns(place=pl.int_range(pl.len()).over("user"))
    third = pl.col("place") == MOST_LINES_OF_USER
    refuse_line(path, counted, third, "is the third of user {user}, a released pair has two lines a user")


def _refuse_other_histories(path: Path, events: pl.DataFrame) -> None:
    """InputError for a user's line whose history is another than his first line's: one of the two is not his."""
    before = events.filter(pl.col("time") < pl.col("answer_time")).sort("line", "time", "item")
    histories = before.group_by("line", maintain_order=True).agg(
        pl.col("user").first(), history=pl.struct("item", "time")
    )
    first = histories.group_by("user", maintain_order=True).agg(pl.all().first()).rename({"line": "first"})
    both = histories.join(first, on="user", suffix="_of_first", maintain_order="left")
    other = pl.col("history") != pl.col("history_of_first")
    refuse_line(path, both, other, "has another history than line {first} of user {user}, his targets share one")


def number_lines(path: Path) -> pl.DataFrame:
    """line (from 1) and text of a text file."""
    return pl.DataFrame({"text": read_lines(path)}, schema={"text": pl.String}).with_row_index("line", offset=1)


def to_number(text: pl.Expr) -> pl.Expr:
    """A text of digits as i64, else null."""
    return pl.when(text.str.contains(NUMBER)).then(text).cast(pl.Int64, strict=False)


def refuse_line(path: Path, rows: pl.DataFrame, wrong: pl.Expr, what: str) -> None:
    """InputError with the first row that is wrong; `what` is formatted with its columns."""
    bad = rows.filter(wrong)
    if bad.height:
        row = bad.row(0, named=True)
        raise InputError(f"{path}: line {row['line']} {what.format(**row)}; mend or remove the line")
