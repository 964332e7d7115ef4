"""Tell a user's mistake from ours: one clear line for the first, a traceback for the second."""

import errno
import re

USER_ERRNOS = {
    errno.ENOSPC: "no space left on the device; free some or choose another run_dir",
    errno.EFBIG: "the file-size limit was reached; raise it (ulimit -f) or choose another run_dir",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another run_dir",
    errno.EROFS: "the file system is read-only; choose another run_dir",
    errno.EACCES: "permission denied; check the owner or choose another path",
    errno.EPERM: "not permitted; check the owner or choose another path",
    errno.ENOTDIR: "a part of this path is a file, not a folder; choose another path",
    errno.EISDIR: "this is a folder where a file is expected; choose another path",
    errno.ENAMETOOLONG: "a name in this path, or the path, is too long; choose a shorter one",
    errno.ELOOP: "its symbolic links go in a circle; choose another path",
    errno.EMFILE: "too many open files; raise the limit (ulimit -n)",
    errno.ENFILE: "too many open files on this machine; close some programs",
    errno.EIO: "reading or writing failed in the device; check the disk",
    errno.ESTALE: "the network file system lost this file; start again",
}
# Libraries written in C++ and Rust report these in words of their own, without an errno.
LIBRARY_WORDS = {
    r"No space left on device": errno.ENOSPC,
    r"File too large": errno.EFBIG,
    r"Disk quota exceeded": errno.EDQUOT,
    r"Read-only file system": errno.EROFS,
    r"PytorchStreamWriter failed writing file": errno.ENOSPC,
    r"inline_container.* unexpected pos \d+ vs \d+": errno.ENOSPC,  # torch.save
    r"basic_ios::clear: iostream error": errno.ENOSPC,  # torch.save, of what its buffer held
    r"file write failed": errno.ENOSPC,
    r"^\d+ requested and \d+ written$": errno.ENOSPC,  # NumPy
    r"Too many levels of symbolic links": errno.ELOOP,
    r"File name too long": errno.ENAMETOOLONG,
    r"Too many open files": errno.EMFILE,
}
WRITING = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS}


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
        return " ".join(f"{where}{USER_ERRNOS[error.errno]}".split())
    for words, number in LIBRARY_WORDS.items():
        if re.search(words, str(error)):
            return f"{'writing' if number in WRITING else 'a file'} failed: {USER_ERRNOS[number]}"
    return None
