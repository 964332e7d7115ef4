"""Read a pair in the form that came with the URLLM paper (Art-Office): two catalogues, three files of samples.

A line is `user TAB answer_time TAB item|time|time TAB ...`, usually with a trailing TAB; the target is the item whose
time equals answer_time, the last by time, and the history is what comes strictly before it. Two lines a user. Times
that are positions (0, 1, 2, ...) and no seconds are read for the order and then dropped.
"""

import csv
import re
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from launch.errors import InputError
from pairs.ragged import offsets_of
from pairs.reading.raw_files import existing_file, find_one, read_lines
from pairs.reading.text import clean_titles
from pairs.tables import SPLITS, Samples, Split

SECONDS_FROM = 100_000_000
"""A time below this (1973) is a position in the user's list, not a timestamp."""
ITEM_ID = re.compile(r"[0-9]{1,18}")
ITEM_FIELDS = ("idBefore", "item_title", "idAfter", "item_attribute")


@dataclass(frozen=True)
class ReleasedPair:
    """What the files hold; nothing is filtered."""

    names: tuple[str, str]
    items: pl.DataFrame
    """item i64 (row number), domain i8, source_id str, title str, attributes str."""
    users: pl.DataFrame
    """user i64, source_id str."""
    samples: dict[Split, Samples]
    files: list[Path]


def read_released(folder: Path) -> ReleasedPair:
    """The pair in `folder`; files may be plain, gzip or zstd."""
    catalogues = find_catalogues(folder)
    tables = sorted((read_catalogue(path) for path in catalogues), key=lambda table: int(table["item"][0]))
    items = pl.concat(table.with_columns(domain=pl.lit(d, pl.Int8)) for d, table in enumerate(tables))
    ids = items["item"].to_list()
    wrong = next((expected for expected, found in enumerate(ids) if found != expected), None)
    if wrong is not None:
        raise InputError(
            f"{catalogues[0]}, {catalogues[1].name}: idAfter must run from 0 through one file and on through the "
            f"other; {wrong} is missing or {ids[wrong]} is there twice; mend the catalogue"
        )
    files = {split: existing_file(folder, f"{split}.txt") for split in SPLITS}
    lines = {split: read_sample_lines(path, num_items=items.height) for split, path in files.items()}
    _check_users(files, lines)
    positions = all((lines[split]["time"] < SECONDS_FROM).all() for split in SPLITS)
    domain_of = items["domain"].to_numpy()
    samples, first = {}, 0
    for split in SPLITS:
        samples[split] = _to_samples(lines[split], first=first, domain_of=domain_of, timed=not positions)
        first += len(samples[split])
    seen = pl.concat([frame["user"] for frame in lines.values()]).unique().sort()
    users_file = find_one(folder, "users.txt")
    read = [*catalogues, *files.values(), *([users_file] if users_file else [])]
    x, y = (str(table["name"][0]) for table in tables)
    return ReleasedPair((x, y), items.drop("name"), _read_users(users_file, seen), samples, read)


def find_catalogues(folder: Path) -> list[Path]:
    """The two `NAME_items.csv` files of a released pair."""
    found = sorted(
        p for p in folder.iterdir() if p.name.removesuffix(".gz").removesuffix(".zst").endswith("_items.csv")
    )
    if len(found) != 2:
        raise InputError(f"{folder}: holds {len(found)} files NAME_items.csv[.gz], a released pair needs two")
    return found


def read_catalogue(path: Path) -> pl.DataFrame:
    """One domain's items in id order, and its name from the file's."""
    try:
        rows = list(csv.reader(read_lines(path)))
    except csv.Error as error:  # a field beyond any measure, a zero byte
        raise InputError(f"{path}: is no CSV file ({error}); fetch the catalogue again") from error
    for number, row in enumerate(rows, start=1):
        if len(row) != len(ITEM_FIELDS):
            raise InputError(
                f"{path}: row {number} has {len(row)} fields, expected {', '.join(ITEM_FIELDS)}; mend the row"
            )
        if number > 1 and not ITEM_ID.fullmatch(row[2]):
            raise InputError(f"{path}: row {number}: idAfter must be a number, got {row[2]!r}; mend the row")
    if len(rows) < 2:
        raise InputError(f"{path}: holds no item: an empty domain; fetch the catalogue again")
    table = pl.DataFrame(rows[1:], schema=list(ITEM_FIELDS), orient="row")
    return clean_titles(table, "item_title").select(
        item=pl.col("idAfter").cast(pl.Int64),
        source_id="idBefore",
        title="item_title",
        attributes=pl.col("item_attribute").str.to_lowercase().str.strip_chars(),
        name=pl.lit(path.name.split("_items.csv")[0].replace("_", " ")),
    ).sort("item")  # fmt: skip


def read_sample_lines(path: Path, *, num_items: int) -> pl.DataFrame:
    """One row an event: line (from 1), user, answer_time, item, time; checked, in file order and then time order."""
    lines = pl.DataFrame({"text": read_lines(path)}, schema={"text": pl.String}).with_row_index("line", offset=1)
    if lines.is_empty():
        raise InputError(f"{path}: holds no sample; fetch the file again")
    lines = lines.with_columns(field=pl.col("text").str.strip_chars_end("\t").str.split("\t"))
    head = lines.with_columns(
        user=pl.col("field").list.get(0, null_on_oob=True).cast(pl.Int64, strict=False),
        answer_time=pl.col("field").list.get(1, null_on_oob=True).cast(pl.Int64, strict=False),
    )
    _refuse(
        path, head, pl.any_horizontal(pl.col("user", "answer_time").is_null()), "must begin with user TAB answer_time"
    )
    _refuse(path, head, pl.col("field").list.len() < 4, "needs a history and a target after user TAB answer_time")
    events = head.select("line", "user", "answer_time", field=pl.col("field").list.slice(2)).explode(
        "field", empty_as_null=False
    )
    parts = events.with_columns(part=pl.col("field").str.split("|"))
    wrong = pl.col("part").list.len() != 3
    _refuse(path, parts, wrong, "has a wrong number of fields in {field!r}, expected item|time|time")
    numbers = parts.with_columns(
        item=pl.col("part").list.get(0).cast(pl.Int64, strict=False),
        time=pl.col("part").list.get(1).cast(pl.Int64, strict=False),
    )
    _refuse(path, numbers, pl.any_horizontal(pl.col("item", "time").is_null()), "has no numbers in {field!r}")
    outside = ~pl.col("item").is_between(0, num_items - 1)
    _refuse(path, numbers, outside, f"names item {{item}}, outside the catalogue (0..{num_items - 1})")
    late = pl.col("time") > pl.col("answer_time")
    _refuse(path, numbers, late, "holds item {item} at time {time}, later than its target at {answer_time}")
    events = numbers.select("line", "user", "answer_time", "item", "time").sort("line", "time", maintain_order=True)
    ends = events.group_by("line", maintain_order=True).agg(pl.all().last(), pl.col("time").min().alias("start"))
    _refuse(path, ends, pl.col("time") != pl.col("answer_time"), "has no item at its answer_time {answer_time}")
    _refuse(path, ends, pl.col("start") == pl.col("answer_time"), "has no history before its answer_time {answer_time}")
    return events


def _refuse(path: Path, rows: pl.DataFrame, wrong: pl.Expr, what: str) -> None:
    """InputError with the first row that is wrong; `what` is formatted with its columns."""
    bad = rows.filter(wrong)
    if bad.height:
        row = bad.row(0, named=True)
        raise InputError(f"{path}: line {row['line']} {what.format(**row)}; mend or remove the line")


def _check_users(files: dict[Split, Path], lines: dict[Split, pl.DataFrame]) -> None:
    users = {split: lines[split].select("user").unique() for split in SPLITS}
    for one, other in combinations(SPLITS, 2):
        both = users[one].join(users[other], on="user").sort("user")
        if both.height:
            raise InputError(
                f"user {both['user'][0]} is in two splits, {files[one]} and {files[other].name} "
                f"({both.height} such users); a released pair divides its users, so remove his lines from one file"
            )


def _to_samples(events: pl.DataFrame, *, first: int, domain_of: npt.NDArray[np.int8], timed: bool) -> Samples:
    target = events.group_by("line", maintain_order=True).agg(pl.col("user", "item", "time").last())
    history = events.filter(pl.col("time") < pl.col("answer_time"))
    lengths = history.group_by("line", maintain_order=True).len()["len"].to_numpy()
    items = target["item"].to_numpy()
    return Samples(
        sample=np.arange(first, first + target.height, dtype=np.int64),
        user=target["user"].to_numpy(),
        domain=domain_of[items].astype(np.int64),
        target=items,
        history=history["item"].to_numpy(),
        offsets=offsets_of(lengths),
        history_time=history["time"].to_numpy() if timed else None,
        target_time=target["time"].to_numpy() if timed else None,
    )


def _read_users(path: Path | None, seen: pl.Series) -> pl.DataFrame:
    """user, source_id of every user seen; without users.txt the number stands for itself."""
    users = pl.DataFrame({"user": seen})
    if path is None:
        return users.with_columns(source_id=pl.col("user").cast(pl.String))
    lines = pl.DataFrame({"text": read_lines(path)}, schema={"text": pl.String}).with_row_index("line", offset=1)
    parts = lines.with_columns(part=pl.col("text").str.split("\t"))
    _refuse(path, parts, pl.col("part").list.len() != 2, "has a wrong number of fields, expected source_id TAB user")
    numbers = parts.with_columns(user=pl.col("part").list.get(1).cast(pl.Int64, strict=False))
    _refuse(path, numbers, pl.col("user").is_null(), "must end with a user number")
    known = numbers.select("user", source_id=pl.col("part").list.get(0)).unique(
        "user", keep="first", maintain_order=True
    )
    joined = users.join(known, on="user", how="left", maintain_order="left")
    unknown = joined.filter(pl.col("source_id").is_null())
    if unknown.height:
        raise InputError(f"{path}: has no line for user {unknown['user'][0]} ({unknown.height} such users); add it")
    return joined
