"""Read a prepared pair: the catalogue and the samples, as arrays.

Joins are by sample id and item id, never by row number; `Samples.row_of` turns ids into rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from launch.artifacts import read_json
from launch.errors import InputError
from pairs.ragged import offsets_of, rows_of, segments

Ints = npt.NDArray[np.int64]
Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
GraphOnly = Literal["graph_only"]
GRAPH_ONLY: GraphOnly = "graph_only"
ARROW_SCHEMA = pa.schema(
    [
        ("sample", pa.int64()),
        ("user", pa.int64()),
        ("domain", pa.int8()),
        ("history", pa.large_list(pa.int64())),
        ("history_time", pa.large_list(pa.int64())),
        ("target", pa.int64()),
        ("target_time", pa.int64()),
    ]
)
"""The columns of `SPLIT.arrow`: one record batch, which `load_samples` maps into memory."""


@dataclass(frozen=True)
class Items:
    """The catalogue: row i is item i; domain X first, then Y."""

    domain: npt.NDArray[np.int8]  # [I]
    source_ids: list[str]
    titles: list[str]
    attributes: list[str]
    """Space-separated lower-case words, "" if none."""
    train_count: Ints  # [I]

    @property
    def num_items(self) -> int:
        """Items of both domains."""
        return len(self.domain)

    @cached_property
    def num_x(self) -> int:
        """Items of domain X."""
        return int((self.domain == 0).sum())

    @property
    def pad(self) -> int:
        """The id that stands for no item."""
        return self.num_items

    def ids(self, domain: int) -> range:
        """The global ids of one domain's items."""
        return range(self.num_x) if domain == 0 else range(self.num_x, self.num_items)


@dataclass(frozen=True)
class Pair:
    """A category pair without its samples."""

    name: str
    domain_names: tuple[str, str]
    items: Items


@dataclass(frozen=True)
class Samples:
    """One split's samples as columns; histories are one flat array with offsets."""

    sample: Ints  # [N]
    user: Ints  # [N]
    domain: Ints  # [N], the target's
    target: Ints  # [N]
    history: Ints  # [sum of lengths], oldest first
    offsets: Ints  # [N + 1]
    history_time: Ints | None  # [sum of lengths], seconds
    target_time: Ints | None  # [N], seconds

    def __len__(self) -> int:
        return len(self.sample)

    @property
    def lengths(self) -> Ints:
        """History lengths [N]."""
        return np.diff(self.offsets)

    @property
    def item_rows(self) -> Ints:
        """The row of every history item [sum of lengths]."""
        return rows_of(self.lengths)

    def history_of(self, row: int) -> Ints:
        """The whole history of one row, oldest first."""
        return self.history[self.offsets[row] : self.offsets[row + 1]]

    def recent(self, max_history: int, pad: int) -> Ints:
        """The most recent `max_history` items of every row [N, max_history], left-padded with `pad`."""
        back = np.arange(max_history, 0, -1)  # distance from the end, 1 is the most recent
        kept = back[None, :] <= self.lengths[:, None]
        positions = np.where(kept, self.offsets[1:, None] - back[None, :], 0)
        if len(self.history) == 0:
            return np.full((len(self), max_history), pad, dtype=np.int64)
        return np.where(kept, self.history[positions], pad)

    def take(self, rows: Ints) -> "Samples":
        """Only `rows`, in that order."""
        lengths = self.lengths[rows]
        flat = segments(self.offsets[rows], lengths)
        return Samples(
            sample=self.sample[rows],
            user=self.user[rows],
            domain=self.domain[rows],
            target=self.target[rows],
            history=self.history[flat],
            offsets=offsets_of(lengths),
            history_time=None if self.history_time is None else self.history_time[flat],
            target_time=None if self.target_time is None else self.target_time[rows],
        )

    def row_of(self, sample: Ints) -> Ints:
        """The rows of sample ids; every id must be in this split."""
        order = np.argsort(self.sample, kind="stable")
        places = np.searchsorted(self.sample, sample, sorter=order)
        rows = order[np.minimum(places, len(order) - 1)]
        assert np.array_equal(self.sample[rows], sample), "a sample id is not in this split"
        return rows.astype(np.int64)


NEW_USER = -2
"""A user id that no train user has; -1 means nobody."""


def one_sample(history: Sequence[int], *, domain: int = 0) -> Samples:
    """A question as a sample: what a user whom the run has never seen bought, oldest first, and the domain asked for.

    It has no target, and nothing may look at one.
    """
    return Samples(
        sample=np.zeros(1, dtype=np.int64),
        user=np.full(1, NEW_USER, dtype=np.int64),
        domain=np.full(1, domain, dtype=np.int64),
        target=np.zeros(1, dtype=np.int64),
        history=np.array(history, dtype=np.int64),
        offsets=offsets_of([len(history)]),
        history_time=None,
        target_time=None,
    )


def load_pair(run_dir: Path) -> Pair:
    """The catalogue and names of the pair in `run_dir/pair`."""
    folder = run_dir / "pair"
    table = _read(folder / "items.parquet")
    card = read_json(folder / "card.json")
    names = card["domains"]
    items = Items(
        domain=table["domain"].to_numpy().astype(np.int8),
        source_ids=table["source_id"].to_pylist(),
        titles=table["title"].to_pylist(),
        attributes=table["attributes"].to_pylist(),
        train_count=table["train_count"].to_numpy().astype(np.int64),
    )
    assert np.array_equal(table["item"].to_numpy(), np.arange(items.num_items)), "items.parquet is not in id order"
    return Pair(name=card["pair"], domain_names=(names[0], names[1]), items=items)


def load_samples(run_dir: Path, split: Split | GraphOnly) -> Samples:
    """One split's samples. The arrays lie in the file, which is mapped into memory: ranks share its pages."""
    path = run_dir / "pair" / f"{split}.arrow"
    _check_exists(path)
    with pa.memory_map(str(path)) as source:
        batch = pa.ipc.open_stream(source).read_next_batch()
    history, times, target_time = (batch.column(name) for name in ("history", "history_time", "target_time"))
    timed = len(batch) > 0 and times.null_count == 0 and target_time.null_count == 0
    return Samples(
        sample=_ints(batch.column("sample")),
        user=_ints(batch.column("user")),
        domain=_ints(batch.column("domain")),
        target=_ints(batch.column("target")),
        history=_ints(history.values),
        offsets=_ints(history.offsets),
        history_time=_ints(times.values) if timed else None,
        target_time=_ints(target_time) if timed else None,
    )


def joined(first: Samples, second: Samples) -> Samples:
    """The samples of both, one after the other; with times where both have them."""
    times = (first.history_time, second.history_time, first.target_time, second.target_time)
    timed = all(time is not None for time in times)
    return Samples(
        sample=np.concatenate([first.sample, second.sample]),
        user=np.concatenate([first.user, second.user]),
        domain=np.concatenate([first.domain, second.domain]),
        target=np.concatenate([first.target, second.target]),
        history=np.concatenate([first.history, second.history]),
        offsets=np.concatenate([first.offsets, second.offsets[1:] + first.offsets[-1]]),
        history_time=np.concatenate([first.history_time, second.history_time]) if timed else None,
        target_time=np.concatenate([first.target_time, second.target_time]) if timed else None,
    )


def _read(path: Path) -> pa.Table:
    _check_exists(path)
    return pq.read_table(path, memory_map=True)


def _check_exists(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path}: no such file; run `kinrec prepare` first")


def _ints(column: pa.Array) -> Ints:
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.int64)
