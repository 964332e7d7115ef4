"""Interactions as numbers, a band of users at a time, on disk.

A band holds whole users, ascending from band to band. Users are numbered inside their band in the order of their ids,
items over the whole pair by domain and id.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Band:
    """Interactions of some users, sorted by user."""

    user: npt.NDArray[np.uint32]  # [N], 0..U-1 inside the band
    item: npt.NDArray[np.int32]  # [N], code of the item
    time: Ints  # [N], seconds

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: Bools) -> "Band":
        """Only the rows that are marked; users keep their numbers."""
        return Band(self.user[rows], self.item[rows], self.time[rows])


class Bands:
    """Numbered bands in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.num_users: list[int] = []
        """Users of each band."""
        folder.mkdir(parents=True)

    def __len__(self) -> int:
        return len(self.num_users)

    def add(self, band: Band, source_ids: pl.Series) -> None:
        """One more band, and the ids of its users, ascending."""
        index = len(self.num_users)
        self.num_users.append(len(source_ids))
        self.replace(index, band)
        pl.DataFrame({"source_id": source_ids}).write_parquet(self._folder / f"users-{index:05d}.parquet")

    def replace(self, index: int, band: Band) -> None:
        """Other interactions of the same users."""
        for name, values in (("user", band.user), ("item", band.item), ("time", band.time)):
            save_array(self._path(index, name), values)

    def load(self, index: int) -> Band:
        """One band."""
        user, item, time = (np.load(self._path(index, name)) for name in ("user", "item", "time"))
        return Band(user, item, time)

    def source_ids(self, index: int) -> pl.Series:
        """The ids of a band's users."""
        return pl.read_parquet(self._folder / f"users-{index:05d}.parquet")["source_id"]

    def __iter__(self) -> Iterator[Band]:
        return (self.load(index) for index in range(len(self)))

    def _path(self, index: int, name: str) -> Path:
        return self._folder / f"{name}-{index:05d}.npy"


def save_array(path: Path, values: npt.NDArray[np.generic]) -> None:
    """numpy.save, but a full disk is an OSError that says so: numpy's own writing loses the number of the error."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(values))
        file.write(np.ascontiguousarray(values).data)


class Counts:
    """How many interactions and users there are, summed over bands."""

    def __init__(self) -> None:
        self.by_domain = np.zeros(2, dtype=np.int64)
        self.users = self.users_of_both = 0

    def add(self, user: npt.NDArray[np.uint32], domain: npt.NDArray[np.int8]) -> None:
        """Interactions of a band: number of the user in the band, domain."""
        num_users = int(user.max(initial=0)) + 1
        per_user = np.bincount(user.astype(np.int64) * 2 + domain, minlength=2 * num_users).reshape(-1, 2)
        self.by_domain += per_user.sum(axis=0)
        self.users += int(per_user.any(axis=1).sum())
        self.users_of_both += int(per_user.all(axis=1).sum())

    def as_json(self) -> dict[str, int]:
        """Interactions of each domain, users, and users with interactions in both domains."""
        x, y = self.by_domain.tolist()
        return {"X": x, "Y": y, "users": self.users, "users_of_both": self.users_of_both}
