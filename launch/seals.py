"""Seals: a list of files with their SHA-256, and a keyed digest over it that only this user can make.

A file that was altered since shows by its digest. A seal that is missing or made with another key shows that the
files were written elsewhere; what can run code when it is loaded (pickles) must not be loaded then.
"""

import hashlib
import hmac
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from launch.artifacts import read_json
from launch.state_key import key_name

Digests = Mapping[str, str]
"""Name relative to the sealed folder -> SHA-256; empty where the file cannot be read."""
CHUNK = 1 << 22


class Foreign(ValueError):  # noqa: N818  it says whose the files are
    """The files were not sealed with this user's key."""


def seal_files(folder: Path, names: Iterable[str], *, key: bytes | None) -> dict[str, Any]:  # Any: JSON values
    """The seal of some files of `folder`."""
    return make_seal(digest_files(folder, names), key=key)


def make_seal(digests: Digests, *, key: bytes | None) -> dict[str, Any]:  # Any: JSON values
    """The seal over digests that are known; without `key` it finds damage but says nothing of who wrote."""
    files = dict(sorted(digests.items()))
    return {"files": files} if key is None else {"files": files, "key": key_name(key), "hmac": _sign(files, key)}


def digest_files(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of files of `folder`, which are on the disk for good when this returns."""
    return {name: _digest(folder / name) for name in names}


def list_files(folder: Path, *, seal: str) -> list[str]:
    """Names of all files in `folder` but its seal, the largest first, so that shares of them weigh about the same."""
    files = [path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()]
    sized = sorted((-path.lstat().st_size, path.relative_to(folder).as_posix()) for path in files)
    return [name for _, name in sized if name != seal]


def read_seal(path: Path, *, key: bytes | None) -> Digests:
    """The digests in a seal. ValueError with the reason where it is damaged, Foreign where `key` did not make it."""
    if key is not None and not path.is_file():
        raise Foreign("it has no seal")
    try:
        seal = read_json(path)
        files = {str(name): str(digest) for name, digest in seal["files"].items()}
        maker, signature = str(seal.get("key")), str(seal.get("hmac"))
    except FileNotFoundError as error:
        raise ValueError("it has no seal, as one that was being written has none") from error
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path.name} is not a seal") from error
    if key is not None:
        if maker != key_name(key):
            raise Foreign("its seal was made with another key")
        if not hmac.compare_digest(signature.encode(), _sign(files, key).encode()):
            raise ValueError(f"{path.name} was altered")
    return files


def first_difference(sealed: Digests, present: Digests) -> str | None:
    """None if the files are those that were sealed, else which is not."""
    for name in sorted({*sealed, *present}):
        if name not in sealed:
            return f"{name} was not there when it was sealed"
        if not present.get(name):
            return f"{name} is missing"
        if present[name] != sealed[name]:
            return f"{name} has other content than was written"
    return None


def _sign(files: Mapping[str, str], key: bytes) -> str:
    listed = json.dumps(files, sort_keys=True, separators=(",", ":"))
    return hmac.new(key, b"kinrec seal 1\n" + listed.encode(), hashlib.sha256).hexdigest()


def _digest(path: Path) -> str:
    if path.is_symlink() or not path.is_file():  # a link may lead to what is not in the folder
        return ""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError:  # a sector that cannot be read
        return ""
    return digest.hexdigest()
