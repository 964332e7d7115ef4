"""Find a file that is there twice, under whatever name: as X and as Y it is a pair that leaks perfectly."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from launch.artifacts import sha256_file
from launch.errors import InputError
from pairs.reading.line_blocks import BOM
from pairs.reading.raw_files import PARQUET, open_raw

HEAD_BYTES = 1 << 20
"""Text files whose first so many bytes are equal, unpacked, hold the same interactions: thousands of them."""


def refuse_same_files(x: list[Path], y: list[Path]) -> None:
    """InputError if a file is listed for X and for Y, or twice for one: under any name, as a link, packed or copied."""
    paths = [*x, *y]
    for place, first in same_files(paths):
        path, other = paths[place], paths[first]
        if (place < len(x)) == (first < len(x)):
            domain = "X" if place < len(x) else "Y"
            raise InputError(f"{path}: the same interactions as {other}, both of domain {domain}; remove one")
        raise InputError(
            f"{path}: the same interactions as {other}, one for X and one for Y: every target would stand in "
            "the other domain's history; give two different categories"
        )


def same_files(paths: Sequence[Path]) -> Iterator[tuple[int, int]]:
    """Places of files that hold what an earlier one holds, and of that one."""
    sizes = Counter(path.stat().st_size for path in paths)
    known: dict[str, int] = {}
    for place, path in enumerate(paths):
        for mark in _marks(path, sizes):
            first = known.setdefault(mark, place)
            if first != place:
                yield place, first


def _marks(path: Path, sizes: Counter[int]) -> Iterator[str]:
    """What two files have in common if they are one."""
    status = path.stat()
    yield f"place {status.st_dev} {status.st_ino}"
    if path.name.endswith(PARQUET):  # its head may be the users alone
        if sizes[status.st_size] > 1:
            yield f"bytes {sha256_file(path)}"
        return
    with open_raw(path) as file:
        head = file.read(2 * HEAD_BYTES).removeprefix(BOM).replace(b"\r\n", b"\n")[:HEAD_BYTES]
    if b"\n" in head.strip() or head.startswith(b"{"):  # one line of CSV may be the header alone
        yield f"head {hashlib.sha256(head).hexdigest()}"
