"""Find the raw files of a pair, open them whatever their compression, and say what is wrong with one."""

import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from launch.errors import InputError
from pairs.config import PairConfig

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
SUFFIX = r"\.jsonl?(?:\.gz|\.zst)?"
META = re.compile(rf"meta_(?P<name>.+?){SUFFIX}")
REVIEWS = re.compile(rf"(?:reviews_|ratings_)?(?P<name>(?!meta_).+?)(?:_5)?(?:{SUFFIX}|\.csv(?:\.gz|\.zst)?)")


class Readable(Protocol):
    """Bytes, from wherever they come."""

    def read(self, size: int = -1, /) -> bytes:
        """So many bytes at most; none at the end."""


@dataclass(frozen=True)
class RawFiles:
    """One domain's files."""

    name: str
    reviews: list[Path]
    meta: list[Path]


def find_files(config: PairConfig) -> tuple[RawFiles, RawFiles]:
    """The files of X and of Y: those that the recipe lists, or the two categories in its folder, by name."""
    if config.reviews_x:
        x = RawFiles("X", _existing(config.reviews_x), _existing(config.meta_x))
        y = RawFiles("Y", _existing(config.reviews_y), _existing(config.meta_y))
        return _named(x, 0, config), _named(y, 1, config)
    folder = existing_folder(config)
    files = sorted(path for path in folder.iterdir() if path.is_file())
    meta = _by_category(files, META)
    reviews = {name: paths for name, paths in _by_category(files, REVIEWS).items() if name in meta}
    for name, paths in [*meta.items(), *reviews.items()]:
        if len(paths) > 1:
            raise InputError(
                f"{paths[0]} and {paths[1].name} are both of category {name}; remove one, or list the files in "
                "pair.reviews_x, pair.meta_x, pair.reviews_y, pair.meta_y"
            )
    lonely = sorted(set(meta) - set(reviews))
    if lonely:
        raise InputError(f"{folder}: meta_{lonely[0]} has no reviews_{lonely[0]}.jsonl[.gz] beside it; add that file")
    if len(meta) != 2:
        found = ", ".join(sorted(meta)) or "no meta_NAME.jsonl[.gz]"
        raise InputError(
            f"{folder}: holds the files of {len(meta)} categories ({found}), "
            "a pair needs two; list them in pair.reviews_x, pair.meta_x, pair.reviews_y, pair.meta_y"
        )
    x, y = (RawFiles(name, reviews[name], meta[name]) for name in sorted(meta))
    return _named(x, 0, config), _named(y, 1, config)


def existing_folder(config: PairConfig) -> Path:
    """The folder that `pair.path` names."""
    if config.path is None:
        raise InputError(f"pair.path is not given; add --pair.path=FOLDER with the {config.source} pair's raw files")
    folder = Path(config.path)
    if not folder.is_dir():
        raise InputError(f"pair.path: {folder} is not a folder; give the one with the raw files")
    return folder


def find_one(folder: Path, name: str) -> Path | None:
    """`folder/name`, plain, gzip or zstd, if it is there."""
    paths = (folder / f"{name}{suffix}" for suffix in ("", ".gz", ".zst"))
    return next((path for path in paths if path.is_file()), None)


def existing_file(folder: Path, name: str) -> Path:
    """`folder/name`, plain, gzip or zstd."""
    path = find_one(folder, name)
    if path is None:
        raise InputError(f"{folder / name}[.gz]: no such file; pair.path must hold it")
    return path


@contextmanager
def open_raw(path: Path) -> Iterator[Readable]:
    """The file's bytes, decompressed; damage is told as an InputError that names the file."""
    with path.open("rb") as file:
        magic = file.read(4)
        file.seek(0)
        opened: Readable = file
        if magic.startswith(GZIP_MAGIC):
            opened = gzip.open(file)  # noqa: SIM115  closing `file` is enough
        elif magic == ZSTD_MAGIC:
            opened = pa.CompressedInputStream(file, "zstd")  # zstandard's own reader takes a cut file for a whole one
        elif path.suffix in {".gz", ".zst"}:
            raise InputError(f"{path}: is not a {path.suffix[1:]} file; rename it or fetch it again")
        try:
            yield opened
        except (EOFError, zlib.error, gzip.BadGzipFile, pa.ArrowException) as error:
            raise damaged(path, str(error)) from error
        except OSError as error:
            if error.errno is not None:
                raise
            raise damaged(path, str(error)) from error  # Arrow's, of a stream that ends too early


def damaged(path: Path, what: str) -> InputError:
    """The error for a file that ends too early or does not decompress."""
    return InputError(f"{path}: truncated or damaged ({what}); fetch it again")


def read_lines(path: Path) -> list[str]:
    """All lines of a UTF-8 text file without their ends, for files that fit in memory."""
    with open_raw(path) as file:
        content = file.read()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content[: error.start].count(b"\n") + 1
        raise InputError(f"{path}: line {row} is not UTF-8 text; save the file as UTF-8") from error
    lines = text.replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _by_category(files: list[Path], pattern: re.Pattern[str]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in files:
        match = pattern.fullmatch(path.name)
        if match:
            found.setdefault(match["name"], []).append(path)
    return found


def _existing(names: list[str]) -> list[Path]:
    paths = [Path(name) for name in names]
    for path in paths:
        if not path.is_file():
            raise InputError(f"{path}: no such file")
    return paths


def _named(files: RawFiles, domain: int, config: PairConfig) -> RawFiles:
    name = files.name.replace("_", " ")
    if config.reviews_x and files.meta:
        match = META.fullmatch(files.meta[0].name)
        name = match["name"].replace("_", " ") if match else files.name
    return RawFiles(config.domains[domain] if config.domains else name, files.reviews, files.meta)
