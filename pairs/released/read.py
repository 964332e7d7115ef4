"""Read a pair in the form that came with the URLLM paper (Art-Office): two catalogues, three files of samples.

A line is `user TAB answer_time TAB item|time|time TAB ...`, usually with a trailing TAB; the target is the item whose
time equals answer_time, the last by time, and the history is what comes strictly before it. Two lines a user. Times
that are positions (0, 1, 2, ...) and no seconds are read for the order and then dropped. Users of one domain, if any
shall teach, are lines of one more file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from launch.errors import InputError
from pairs.ragged import offsets_of
from pairs.reading.raw_files import existing_file, find_one
from pairs.released.catalogue import read_catalogues
from pairs.released.one_domain import find_one_domain, read_one_domain
from pairs.released.sample_lines import number_lines, read_sample_lines, refuse_line, to_number
from pairs.tables import SPLITS, Samples, Split

SECONDS_FROM = 100_000_000
"""A time below this (1973) is a position in the user's list, not a timestamp."""


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
    one_domain: pl.DataFrame | None
    """Events (user, item, domain, time) of users of one domain; None unless they are asked for."""


def read_released(folder: Path, *, one_domain: bool = False) -> ReleasedPair:
    """The pair in `folder`; files may be plain, gzip or zstd. `one_domain`: whether its users of one domain, too."""
    items, names, catalogues = read_catalogues(folder)
    files = {split: existing_file(folder, f"{split}.txt") for split in SPLITS}
    users_file = find_one(folder, "users.txt")
    teaching_file = find_one_domain(folder, asked=one_domain)
    lines = {split: read_sample_lines(path, num_items=items.height) for split, path in files.items()}
    _check_users(files, lines)
    read = [(path, lines[split]) for split, path in files.items()]
    domain_of = items["domain"].to_numpy()
    teaching = None
    if teaching_file is not None:
        teaching = read_one_domain(teaching_file, read, domain_of=domain_of)
        read.append((teaching_file, teaching))
    timed = _are_seconds(read)
    samples, first = {}, 0
    for split in SPLITS:
        samples[split] = _to_samples(lines[split], first=first, domain_of=domain_of, timed=timed)
        first += len(samples[split])
    seen = pl.concat([frame["user"] for frame in lines.values()]).unique().sort()
    all_files = [*catalogues, *(path for path, _ in read), *([users_file] if users_file else [])]
    return ReleasedPair(names, items, _read_users(users_file, seen), samples, all_files, teaching)


def _check_users(files: dict[Split, Path], lines: dict[Split, pl.DataFrame]) -> None:
    users = {split: lines[split].select("user").unique() for split in SPLITS}
    for one, other in combinations(SPLITS, 2):
        both = users[one].join(users[other], on="user").sort("user")
        if both.height:
            raise InputError(
                f"user {both['user'][0]} is in two splits, {files[one]} and {files[other].name} "
                f"({both.height} such users); a released pair divides its users, so remove his lines from one file"
            )


def _are_seconds(read: Sequence[tuple[Path, pl.DataFrame]]) -> bool:
    """Whether times are seconds, of files and their events; InputError where some are and others are positions."""
    position = pl.col("time") < SECONDS_FROM
    if not any((events["time"] >= SECONDS_FROM).any() for _, events in read):
        return False
    for path, events in read:
        what = "has the position {time} where other times are seconds: positions and seconds do not mix"
        refuse_line(path, events, position, what)
    return True


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
    parts = number_lines(path).with_columns(part=pl.col("text").str.split("\t"))
    what = "has a wrong number of fields, expected source_id TAB user"
    refuse_line(path, parts, pl.col("part").list.len() != 2, what)
    numbers = parts.with_columns(source_id=pl.col("part").list.get(0), user=to_number(pl.col("part").list.get(1)))
    no_number = (pl.col("user") < 0).fill_null(True)
    refuse_line(path, numbers, no_number, "must end with a user number")
    refuse_line(path, numbers, pl.col("source_id").str.strip_chars() == "", "has a blank source_id")
    for name, words in (("user", "user"), ("source_id", "source id")):
        again = ~pl.col(name).is_first_distinct()
        refuse_line(path, numbers, again, f"cannot be: {words} {{{name}!r}} is there twice")
    joined = users.join(numbers.select("user", "source_id"), on="user", how="left", maintain_order="left")
    unknown = joined.filter(pl.col("source_id").is_null())
    if unknown.height:
        raise InputError(f"{path}: has no line for user {unknown['user'][0]} ({unknown.height} such users); add it")
    return joined
