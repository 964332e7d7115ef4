"""Parts of a table that a killed stage leaves to the next start: a file each, named by the rows that it holds.

The next start makes what is missing, cut as it likes; with the same sizes the cuts fall where they were.
"""

import re
from collections.abc import Iterable
from pathlib import Path

NAME = re.compile(r"(\d{12})-(\d{12})\.parquet")


def part_path(folder: Path, rows: range) -> Path:
    """Where the part of `rows` is; sorted by name, parts are in the rows' order."""
    return folder / f"{rows.start:012d}-{rows.stop:012d}.parquet"


def finished_parts(folder: Path) -> list[range]:
    """The rows of every part that is there, in order. Reading the folder shows files that other nodes have written."""
    names = [NAME.fullmatch(path.name) for path in folder.iterdir()] if folder.is_dir() else []
    return sorted((range(int(name[1]), int(name[2])) for name in names if name), key=lambda rows: rows.start)


def missing_rows(num_rows: int, finished: Iterable[range]) -> list[range]:
    """What of `range(num_rows)` no part holds, in ranges as long as they can be."""
    missing, at = [], 0
    for rows in [*finished, range(num_rows, num_rows)]:
        assert rows.start >= at, "parts overlap"
        if rows.start > at:
            missing.append(range(at, rows.start))
        at = rows.stop
    return missing
