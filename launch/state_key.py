"""The user's own secret, outside every run folder: what was sealed with it was written by this user."""

import contextlib
import hashlib
import os
import secrets
import shutil
from pathlib import Path

from launch.errors import InputError

STATE_FOLDER = "KINREC_STATE"
KEY_BYTES = 32


def state_folder() -> Path:
    """$KINREC_STATE, else $XDG_STATE_HOME/kinrec, else ~/.local/state/kinrec."""
    named = os.environ.get(STATE_FOLDER)
    if named:
        return Path(named).expanduser().absolute()
    home = os.environ.get("XDG_STATE_HOME", "")
    # The XDG specification: a path that is not absolute is to be ignored.
    return (Path(home) if home.startswith("/") else Path.home() / ".local" / "state") / "kinrec"


def state_key() -> bytes:
    """The key that checkpoints are sealed with; made by whoever needs it first, readable by its owner only."""
    path = state_folder() / "seal" / "key"
    try:
        if not path.is_file():
            _make(path)
        key = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: cannot keep the key that checkpoints are sealed with ({error.strerror}); set {STATE_FOLDER} to "
            "a folder of your own that you can write to"
        ) from error
    if len(key) != KEY_BYTES:
        raise InputError(f"{path}: damaged, a key has {KEY_BYTES} bytes; remove {path.parent} to get a new one")
    return key


def key_name(key: bytes) -> str:
    """What tells one key from another and nothing of either."""
    return hashlib.sha256(b"kinrec key name\n" + key).hexdigest()[:16]


def _make(path: Path) -> None:
    """A folder is renamed to its place whole, and onto one that holds a file it cannot be: the first one wins."""
    state = path.parent.parent
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = state / f".seal.{os.getpid()}.{secrets.token_hex(4)}"
    fresh.mkdir(mode=0o700)
    try:
        descriptor = os.open(fresh / path.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(OSError):  # another process was first: its key is read; else the reader says what is
            fresh.rename(path.parent)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
