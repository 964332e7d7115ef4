"""Tell a user's mistake from ours: one clear line for the first, a traceback for the second."""

import errno

USER_ERRNOS = {
    errno.ENOSPC: "no space left on the device; free some or choose another run_dir",
    errno.EFBIG: "the file-size limit was reached; raise it (ulimit -f) or choose another run_dir",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another run_dir",
    errno.EROFS: "the file system is read-only; choose another run_dir",
    errno.EACCES: "permission denied; check the owner or choose another path",
}
# Libraries written in C++ and Rust report a full disk in words of their own, without an errno.
FULL_DISK_WORDS = {
    "No space left on device": errno.ENOSPC,
    "File too large": errno.EFBIG,
    "PytorchStreamWriter failed writing file": errno.ENOSPC,
    "file write failed": errno.ENOSPC,
}


class InputError(ValueError):
    """Something a user can cause and mend. The message is one line: what, where (file, row or key), the fix."""


def one_line(error: BaseException) -> str | None:
    """The line to show for an error that a user can mend, or None for a fault of ours."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, InputError):
            return " ".join(str(seen).split())
        line = _system_line(seen)
        if line is not None:
            return line
        seen = seen.__cause__ or seen.__context__
    return None


def first_line(error: BaseException) -> str:
    """The beginning of what a library says, to stand inside a line of ours; its name where it says nothing."""
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__


def _system_line(error: BaseException) -> str | None:
    if isinstance(error, OSError) and error.errno in USER_ERRNOS:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{USER_ERRNOS[error.errno]}"
    for words, number in FULL_DISK_WORDS.items():
        if words in str(error):
            return f"writing failed: {USER_ERRNOS[number]}"
    return None
