"""Read a file of lines in blocks of bounded size, whatever its compression; lines beyond any measure are left out."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from launch.errors import InputError
from pairs.reading.bad_rows import FileCount
from pairs.reading.raw_files import damaged, open_raw

BLOCK_BYTES = 16 << 20
LONGEST_LINE = 8 << 20
"""A line may be so long; what is longer is no row of a catalogue."""
ENDLESS = 128 << 20
"""A file with a line of so many bytes is none of lines, and is read no further."""
MOST_BYTES, MOST_LINES = 256 << 20, 4_000_000
"""What a file that is read whole may hold."""
READ_BYTES = 1 << 20
DEEPEST = 1000
"""A line may open so many brackets before only the careful parser gets it: polars crashes on deep nesting."""
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Block:
    """Whole lines, and the number of the first of them (from 1)."""

    first_line: int
    data: bytes
    last: bool = False
    """The file ends with this block, and its last line has no end."""

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Number and bytes of every line that is not blank."""
        for number, line in enumerate(io.BytesIO(self.data), start=self.first_line):
            if not line.isspace():
                yield number, line.removesuffix(b"\n")


def read_blocks(path: Path, count: FileCount, *, quoted: bool = False, size: int = BLOCK_BYTES) -> Iterator[Block]:
    """The file's lines in order; with `quoted`, a block never ends inside double quotes (CSV)."""
    with open_raw(path) as file:
        rest, line, skipped, begun = b"", 1, 0, False
        while chunk := file.read(size):
            if not begun:
                chunk, begun = chunk.removeprefix(BOM), True
            if skipped:
                end = chunk.find(b"\n")
                if end < 0:
                    skipped += len(chunk)
                    if skipped > ENDLESS:
                        raise damaged(path, f"line {line} is longer than {ENDLESS >> 20} MiB")
                    continue
                chunk, line, skipped = chunk[end + 1 :], line + 1, 0
            if quoted:
                chunk, rest = rest + chunk, b""
            end = chunk.rfind(b"\n") + 1
            if quoted and chunk.count(b'"', 0, end) % 2 and end < 2 * size:
                end = chunk.rfind(b"\n", 0, chunk.rfind(b'"', 0, end)) + 1  # the last quote opens a field
            if end:
                block = b"".join((rest, memoryview(chunk)[:end]))  # the one copy of what was read
                yield Block(line, block)
                line += block.count(b"\n")
                rest = b""
            rest += chunk[end:]
            if len(rest) > LONGEST_LINE and b"\n" not in rest:
                count.add_bad(line, f"is longer than {LONGEST_LINE >> 20} MiB")
                rest, skipped = b"", len(rest)
        if rest:
            yield Block(line, rest, last=True)


def read_lines(path: Path) -> list[str]:
    """All lines of a UTF-8 text file without their ends, for files that fit in memory; InputError for others."""
    content = _read_whole(path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content[: error.start].count(b"\n") + 1
        raise InputError(f"{path}: line {row} is not UTF-8 text; save the file as UTF-8") from error
    lines = text.replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _read_whole(path: Path) -> bytes:
    """The file's bytes, decompressed; not one more than `MOST_BYTES` is held."""
    parts: list[bytes] = []
    size = ends = unended = 0
    with open_raw(path) as file:
        while part := file.read(READ_BYTES):
            parts.append(part)
            size, ends = size + len(part), ends + part.count(b"\n")
            end = part.rfind(b"\n")
            unended = unended + len(part) if end < 0 else len(part) - end - 1
            if unended > LONGEST_LINE:
                raise InputError(f"{path}: line {ends + 1} is longer than {LONGEST_LINE >> 20} MiB; fetch it again")
            if size > MOST_BYTES or ends > MOST_LINES:
                raise InputError(
                    f"{path}: holds more than {MOST_BYTES >> 20} MiB or {MOST_LINES:,} lines, unpacked, the most that "
                    "this form is read with; fetch it again, or give the raw reviews instead"
                )
    return b"".join(parts)


def is_plain(data: bytes) -> bool:
    """No line of the block is overlong or may be nested so deeply that it endangers polars."""
    at = 0
    while at < len(data):
        end = data.rfind(b"\n", at, at + DEEPEST)  # many short lines at once
        if end < 0:
            end = data.find(b"\n", at)
            end = len(data) if end < 0 else end
            if end - at > LONGEST_LINE or data.count(b"[", at, end) + data.count(b"{", at, end) > DEEPEST:
                return False
        at = end + 1
    return True


def closes_quotes(data: bytes) -> bool:
    """Every line of the block has an even number of double quotes."""
    if b'"' not in data:
        return True
    values = np.frombuffer(data, dtype=np.uint8)
    quotes, ends = np.flatnonzero(values == ord('"')), np.flatnonzero(values == ord("\n"))
    before = np.append(np.searchsorted(quotes, ends), len(quotes))  # quotes up to each line's end
    return not (before % 2).any()
