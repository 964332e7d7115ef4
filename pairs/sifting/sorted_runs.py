"""Sort more interactions than fit in memory by user: sorted runs on disk, then ranges of users out of all of them.

What is added waits until `run_rows` rows are there; these are sorted by user and written as one run: its users' ids,
ascending, and of each interaction numbers only. A *band* is a range of user ids with all their interactions. Borders
are chosen after all has been read, from a sample of every run, so that no order of the files and no skew of the ids
makes a band large; only one user's own rows can.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from pairs.ragged import offsets_of
from pairs.sifting.bands import save_array
from pairs.sifting.item_codes import ItemCodes, ItemNumbers

SAMPLE_EVERY = 256
"""One of so many rows of a run goes into the sample."""


@dataclass(frozen=True)
class Run:
    """Some interactions of one domain, sorted by user, in files that begin with `path`."""

    path: Path
    domain: int
    num_rows: int

    def write(self, rows: pl.DataFrame, items: npt.NDArray[np.int32]) -> list[str]:
        """Sort and write interactions (user str, time, rating if asked for) with items' numbers; a sample of users."""
        number, ids = number_users(rows["user"])
        order = number.arg_sort().to_numpy()
        counts = np.bincount(number.to_numpy(), minlength=len(ids))
        save_array(self._file("offsets.npy"), offsets_of(counts))
        save_array(self._file("item.npy"), items[order])
        for name in rows.columns:
            if name != "user":
                save_array(self._file(f"{name}.npy"), rows[name].to_numpy()[order])
        pl.DataFrame({"user": ids}).write_ipc(self._file("users.arrow"), compression="uncompressed")
        sampled: list[str] = ids.gather(number.to_numpy()[order[::SAMPLE_EVERY]]).to_list()
        return sampled

    def ids(self) -> pl.Series:
        """The users' ids, ascending; mapped, not read."""
        return pl.read_ipc(self._file("users.arrow"), memory_map=True)["user"]

    def offsets(self) -> npt.NDArray[np.int64]:
        """Where each user's rows begin [U + 1]."""
        offsets: npt.NDArray[np.int64] = np.load(self._file("offsets.npy"))
        return offsets

    def column(self, name: str, begin: int, end: int) -> npt.NDArray[np.generic]:
        """Rows begin..end of a column."""
        return np.array(np.load(self._file(f"{name}.npy"), mmap_mode="r")[begin:end])

    def _file(self, name: str) -> Path:
        return self.path.with_name(f"{self.path.name}-{name}")


@dataclass(frozen=True)
class SortedRuns:
    """All that was added."""

    runs: list[Run]
    sample: list[str]
    """Every `SAMPLE_EVERY`th user of each run, sorted."""
    items: ItemNumbers
    columns: list[str]
    """What there is of an interaction beside user and item: time i64 and, if asked for, rating f32."""

    @property
    def num_rows(self) -> int:
        """Interactions."""
        return sum(run.num_rows for run in self.runs)

    def bands(self, rows: int, codes: ItemCodes) -> Iterator[tuple[pl.DataFrame, pl.Series]]:
        """All interactions in bands of about `rows`, users ascending from band to band: user u32 (0.. in the order of
        the band's ids), item i32 (code), time, rating if there; in no order. And the ids of the band's users."""
        step = max(rows // SAMPLE_EVERY, 1)
        borders = pl.Series(sorted(set(self.sample[step::step])), dtype=pl.String)
        ids = [run.ids() for run in self.runs]
        offsets = [run.offsets() for run in self.runs]
        places = [[0, *users_of.search_sorted(borders, side="left").to_list(), len(users_of)] for users_of in ids]
        for band in range(len(borders) + 1 if self.runs else 0):
            inside = [(at[band], at[band + 1]) for at in places]
            parts = [users_of[low:high] for users_of, (low, high) in zip(ids, inside, strict=True)]
            number, users = number_users(pl.concat(parts))
            first = offsets_of([len(part) for part in parts])
            frames = []
            for place, (run, (low, high)) in enumerate(zip(self.runs, inside, strict=True)):
                starts = offsets[place][low : high + 1]
                begin, end = int(starts[0]), int(starts[-1])
                own = number[int(first[place]) : int(first[place + 1])].to_numpy()
                columns = {name: run.column(name, begin, end) for name in self.columns}
                item = codes.of_number(run.column("item", begin, end), domain=run.domain)
                frames.append(pl.DataFrame({"user": np.repeat(own, np.diff(starts)), "item": item, **columns}))
            yield pl.concat(frames), users


class RunWriter:
    """Takes interactions in any order and sorts them by user into runs in `folder`."""

    def __init__(self, folder: Path, *, run_rows: int) -> None:
        self._folder, self._run_rows = folder, run_rows
        self._domain = 0
        self._waiting: list[pl.DataFrame] = []
        self._num_waiting = 0
        self._runs: list[Run] = []
        self._sample: list[str] = []
        self._items = ItemNumbers()
        self._columns: list[str] = []

    def add(self, frame: pl.DataFrame, *, domain: int) -> None:
        """Interactions of a domain in any order: user, item, and the same numeric columns every time."""
        if domain != self._domain:
            self._write_run()
            self._domain = domain
        self._waiting.append(frame)
        self._num_waiting += frame.height
        self._columns = [name for name in frame.columns if name not in ("user", "item")]
        if self._num_waiting >= self._run_rows:
            self._write_run()

    def close(self) -> SortedRuns:
        """Write what waits; nothing can be added after this."""
        self._write_run()
        return SortedRuns(self._runs, sorted(self._sample), self._items, self._columns)

    def _write_run(self) -> None:
        if not self._num_waiting:
            return
        frame = pl.concat(self._waiting)
        self._waiting, self._num_waiting = [], 0
        run = Run(self._folder / f"run-{len(self._runs):05d}", self._domain, frame.height)
        numbers = self._items.number(frame["item"], domain=self._domain)
        self._sample += run.write(frame.drop("item"), numbers)
        self._runs.append(run)


def number_users(users: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The number u32 of each row's user in the order of the ids, from 0; and the ids, ascending.

    Distinct ids are sorted and rows looked up: several times as fast as ranking rows by a string.
    """
    ids = users.unique().sort()
    numbered = pl.DataFrame({"user": ids}).with_row_index("number")
    rows = pl.DataFrame({"user": users}).join(numbered, on="user", how="left", maintain_order="left")
    return rows["number"], ids
