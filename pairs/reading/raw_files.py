"""Open the raw files of a pair whatever their compression, and say what is wrong with one."""

import gzip
import os
import stat
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
PARQUET = (".parquet", ".pq")
OTHER_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFDIR: "a folder",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


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


def existing_folder(config: PairConfig) -> Path:
    """The folder that `pair.path` names."""
    if config.path is None:
        raise InputError(f"pair.path is not given; add --pair.path=FOLDER with the {config.source} pair's raw files")
    folder = Path(config.path)
    if not folder.is_dir():
        raise InputError(f"pair.path: {folder} is not a folder; give the one with the raw files")
    return folder


def refuse_other_than_file(path: Path) -> None:
    """InputError for what is not there, or no file of bytes: a FIFO would be waited for, a device never ends."""
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give another path") from error
    if kind != stat.S_IFREG:
        raise InputError(f"{path}: is {OTHER_KINDS.get(kind, 'something else')} and no file; give the file itself")


def bare_name(path: Path) -> str:
    """The file's name without what says how it is packed."""
    return path.name.removesuffix(".gz").removesuffix(".zst")


def find_one(folder: Path, name: str) -> Path | None:
    """`folder/name`, plain, gzip or zstd, if it is there; InputError if it is there twice, or is no file."""
    paths = [path for suffix in ("", ".gz", ".zst") if os.path.lexists(path := folder / f"{name}{suffix}")]
    if len(paths) > 1:
        raise InputError(f"{paths[0]} and {paths[1].name} are both there; remove one")
    for path in paths:
        refuse_other_than_file(path)
    return paths[0] if paths else None


def existing_file(folder: Path, name: str) -> Path:
    """`folder/name`, plain, gzip or zstd."""
    path = find_one(folder, name)
    if path is None:
        raise InputError(f"{folder / name}[.gz]: no such file; pair.path must hold it")
    return path


@contextmanager
def open_raw(path: Path) -> Iterator[Readable]:
    """The file's bytes, decompressed; damage is told as an InputError that names the file."""
    refuse_other_than_file(path)
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
