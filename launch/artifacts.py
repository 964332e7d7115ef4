"""Files that appear whole or not at all: written beside their place, then renamed."""

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

PARTIAL, FORMER = ".partial", ".former"


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to; on success it becomes `path`, on an error it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(_own_name(path, PARTIAL))
    try:
        yield partial
        _flush(partial)
        partial.replace(path)
        sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; on success it becomes `path` (replacing one), on an error it is removed.

    The folder that it replaces stands aside until the new one has its name: killed in between, it is put back by
    `remove_partials`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, former = (path.with_name(_own_name(path, ending)) for ending in (PARTIAL, FORMER))
    partial.mkdir()
    try:
        yield partial
        for root, _, files in os.walk(partial):
            for name in files:
                _flush(Path(root) / name)
            sync_folder(Path(root))
        if path.exists():
            path.replace(former)
        partial.replace(path)
        sync_folder(path.parent)
    finally:
        _put_back(former, path)
        shutil.rmtree(partial, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:  # Any: whatever JSON holds
    """Write indented JSON atomically."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, sort_keys=False) + "\n")


def read_json(path: Path) -> Any:  # Any: whatever JSON holds
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def sha256_file(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_partials(folder: Path) -> None:
    """Remove what killed writers left below `folder`, and put back what they were about to replace; links are not
    followed."""
    for root, folders, files in os.walk(folder, followlinks=False):
        for name in [name for name in folders if _is_partial(name)]:
            folders.remove(name)
            path = Path(root) / name
            path.unlink() if path.is_symlink() else shutil.rmtree(path, ignore_errors=True)
        for name in [name for name in folders if name.startswith(".") and name.endswith(FORMER)]:
            folders.remove(name)
            _put_back(Path(root) / name, Path(root) / name[1:].rsplit(".", 3)[0])
        for name in filter(_is_partial, files):
            (Path(root) / name).unlink(missing_ok=True)


def files_below(folder: Path) -> Iterator[Path]:
    """Files and links below `folder`, links not followed. What another process takes away meanwhile is passed over.

    Raises:
        OSError: a folder that is there cannot be read.
    """
    for root, folders, files in os.walk(folder, onerror=_unless_gone, followlinks=False):
        links = [name for name in folders if (Path(root) / name).is_symlink()]
        yield from (Path(root) / name for name in sorted([*files, *links]))


def bytes_below(folder: Path) -> int:
    """Bytes of the files below `folder`, links not followed; another process may be writing there."""
    total = 0
    for path in files_below(folder):
        with suppress(FileNotFoundError):
            total += path.lstat().st_size
    return total


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a crash of the machine, as far as its file system can."""
    try:
        _flush(folder)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP, errno.EACCES}:  # some file systems sync no folders
            raise


def _own_name(path: Path, ending: str) -> str:
    """Of this process alone: those of other machines, which may have our process id, write beside us."""
    return f".{path.name}.{os.getpid()}.{secrets.token_hex(3)}{ending}"


def _put_back(former: Path, path: Path) -> None:
    """Where nothing has taken its place; else it is removed."""
    if former.is_dir() and not former.is_symlink() and not path.exists():
        former.replace(path)
    elif former.is_symlink():
        former.unlink()
    else:
        shutil.rmtree(former, ignore_errors=True)


def _is_partial(name: str) -> bool:
    return name.startswith(".") and name.endswith(PARTIAL)


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
