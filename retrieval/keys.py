"""What is searched: every different history of who may be kindred (pairs/known.py), once."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from launch.distributed import World
from launch.errors import InputError
from launch.state.kept import read_arrays, write_arrays
from pairs.history_keys import history_keys
from pairs.tables import Ints, Samples

FORMAT = "keys 1"


@dataclass(frozen=True)
class Keys:
    """One key a (user, history), in the order of sample ids.

    Twin samples (one user, one history, two targets) have the same vectors, so only the lower sample id is kept. Keys
    of both target domains answer both: each history has a vector towards X and one towards Y.
    """

    sample: Ints  # [K], increasing
    row: Ints  # [K], in the table of who may be kindred
    user: Ints  # [K]
    last_time: Ints | None  # [K], of the history's last item, seconds

    def __len__(self) -> int:
        return len(self.sample)

    @cached_property
    def per_user(self) -> float:
        """Keys of a user, on average: histories that grow are several."""
        return len(self) / max(1, len(np.unique(self.user)))

    def samples_at(self, positions: Ints) -> Ints:
        """The sample ids of keys; -1 stays -1."""
        return np.where(positions < 0, -1, self.sample[positions]) if len(self) else positions

    def position_of(self, sample: Ints) -> Ints:
        """Where sample ids stand among the keys; -1 stays -1."""
        positions = np.searchsorted(self.sample, sample)
        is_key = self.sample[np.minimum(positions, len(self) - 1)] == sample if len(self) else sample < 0
        assert bool((is_key | (sample < 0)).all()), "a sample id is not a key"
        return np.where(sample < 0, -1, positions)


def unique_histories(train: Samples) -> Keys:
    """The keys of a train table; empty histories have nothing to show and are left out."""
    lengths = train.lengths
    hashes = history_keys(train)
    order = np.lexsort((train.sample, hashes, lengths, train.user))
    order = order[lengths[order] > 0]
    fields = (train.user[order], lengths[order], hashes[order])
    repeats = np.zeros(len(order), dtype=bool)
    repeats[1:] = np.logical_and.reduce([field[1:] == field[:-1] for field in fields])
    rows = order[~repeats]
    rows = rows[np.argsort(train.sample[rows], kind="stable")].astype(np.int64)
    times = train.history_time
    return Keys(
        sample=train.sample[rows],
        row=rows,
        user=train.user[rows],
        last_time=None if times is None else times[train.offsets[rows + 1] - 1],
    )


def shared_keys(run_dir: Path, train: Samples, world: World) -> Keys:
    """The keys in neighbours/keys.safetensors, which the first rank makes: one copy a node, mapped by all. A
    collective."""
    path = _keys_path(run_dir)
    if world.is_main:
        keys = unique_histories(train)
        columns = {"sample": keys.sample, "row": keys.row, "user": keys.user}
        if keys.last_time is not None:
            columns["last_time"] = keys.last_time
        write_arrays(path, columns, mark=FORMAT)
    world.barrier()
    return _read_keys(path)


def run_keys(run_dir: Path, train: Samples) -> Keys:
    """The keys of a run that has retrieved; made now where an earlier version has left none."""
    path = _keys_path(run_dir)
    return _read_keys(path) if path.is_file() else unique_histories(train)


def _read_keys(path: Path) -> Keys:
    try:
        arrays, mark = read_arrays(path)
        if mark != FORMAT:
            raise ValueError(f"it is of format {mark}")
        return Keys(arrays["sample"], arrays["row"], arrays["user"], arrays.get("last_time"))
    except (ValueError, KeyError) as error:
        raise InputError(f"{path}: {error}; run `kinrec retrieve` again") from error


def _keys_path(run_dir: Path) -> Path:
    return run_dir / "neighbours" / "keys.safetensors"
