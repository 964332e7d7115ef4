"""The temporary files of a run lie in its own folder: they go with it, also after a kill."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY = ".tmp"
MAX_BYTES = 60
"""Of a folder's name: libraries put sockets below it, and a socket's whole name may have 107."""


@contextmanager
def temporary_folder(run_dir: Path) -> Iterator[tuple[Path, str]]:
    """An empty folder for a stage's temporary files, and a name for TMPDIR; gone afterwards.

    What a killed stage left goes first. Call it only while holding the run's lock.
    """
    folder = run_dir.resolve() / TEMPORARY
    remove_temporary(run_dir)
    folder.mkdir(mode=0o700)
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield folder, _short_name(folder, opened)
    finally:
        os.close(opened)
        remove_temporary(run_dir)


def remove_temporary(run_dir: Path) -> None:
    """Remove the temporary files of a run; call it only while holding the run's lock."""
    folder = run_dir / TEMPORARY
    if folder.is_symlink():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def _short_name(folder: Path, opened: int) -> str:
    """The folder's own name, or where that is too long the one that it has while this process holds it open."""
    link = Path(f"/proc/{os.getpid()}/fd/{opened}")
    return str(link if len(os.fsencode(folder)) > MAX_BYTES and link.exists() else folder)
