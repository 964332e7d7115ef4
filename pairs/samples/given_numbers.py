"""Turn rows of somebody's own samples into samples with numbers, and refuse those that cannot be meant."""

import numpy as np
import polars as pl

from pairs.ragged import offsets_of, rows_of
from pairs.reading.raw_keys import LONGEST_ID
from pairs.samples.strict_rows import Field, StrictFile
from pairs.tables import SPLITS, Ints, Samples, Split

FIELDS = (
    Field("user", "text"),
    Field("history", "texts"),
    Field("target", "text"),
    Field("history_time", "times", required=False),
    Field("target_time", "time", required=False),
)
YEAR_2100 = 4_102_444_800
OUTSIDE = "has a time outside 1970..2099; times are seconds (divide milliseconds by 1000)"
NO_USER = (pl.col("user").fill_null("") == "", "has no user")
LONG_USER = (pl.col("user").str.len_bytes() > LONGEST_ID, f"its user must not be longer than {LONGEST_ID} bytes")
EMPTY_HISTORY = (pl.col("history").list.len().fill_null(0) == 0, "has an empty history")
NULL_IN_HISTORY = (pl.col("history").list.contains(None, nulls_equal=True), "its history holds a null")
HOLES = (
    (pl.col("split").is_null(), "has no split"),
    (~pl.col("split").is_in(SPLITS), "split must be train, valid or test, got {split!r}"),
    NO_USER,
    (pl.col("target").fill_null("") == "", "has no target"),
    EMPTY_HISTORY,
    LONG_USER,
    NULL_IN_HISTORY,
)
NULL_TIME = (pl.col("history_time").list.contains(None, nulls_equal=True), "history_time holds a null")
TIMES_OF_ITEMS = (
    pl.col("history_time").list.len() != pl.col("history").list.len(),
    "history_time has not one time for each item of its history",
)
UNSORTED = (pl.col("history_time").list.diff().list.min() < 0, "history_time is not in order, oldest first")
HISTORY_OUTSIDE = (
    (pl.col("history_time").list.min() < 0) | (pl.col("history_time").list.max() >= YEAR_2100),
    OUTSIDE,
)
TIME_FAULTS = (
    (pl.col("history_time").is_null() != pl.col("target_time").is_null(), "has one of history_time and target_time"),
    NULL_TIME,
    TIMES_OF_ITEMS,
    (HISTORY_OUTSIDE[0] | ~pl.col("target_time").is_between(0, YEAR_2100 - 1), OUTSIDE),
    UNSORTED,
)


class UserNumbers:
    """Numbers for users as they come, from 0."""

    def __init__(self) -> None:
        self._users = pl.DataFrame(schema={"user": pl.String, "number": pl.Int64})

    def __len__(self) -> int:
        return self._users.height

    def take(self, ids: pl.Series) -> Ints:
        """Their numbers; who is new gets the next."""
        asked = pl.DataFrame({"user": ids})
        new = asked.unique(maintain_order=True).join(self._users, on="user", how="anti", maintain_order="left")
        first = self._users.height
        numbers = pl.int_range(first, first + new.height, dtype=pl.Int64, eager=True)
        self._users = pl.concat([self._users, new.with_columns(number=numbers)])
        return as_ints(asked.join(self._users, on="user", how="left", maintain_order="left")["number"])

    def known(self, ids: pl.Series) -> pl.Series:
        """Whether each has a number already."""
        asked = pl.DataFrame({"user": ids})
        return asked.join(self._users, on="user", how="left", maintain_order="left")["number"].is_not_null()

    def frame(self) -> pl.DataFrame:
        """user, source_id of every user, ascending."""
        return self._users.select(user="number", source_id="user")


class SampleNumbers:
    """Numbers for users as they come and for items as they are known; what was seen so far."""

    def __init__(self, items: pl.DataFrame) -> None:
        self._items = items.select(pl.col("source_id").alias("id"), number="item")
        self.domain_of = items["domain"].to_numpy()
        self.users = UserNumbers()
        self._timed: bool | None = None
        self._files: list[StrictFile] = []
        self._seen: list[pl.DataFrame] = []

    def take(self, file: StrictFile, rows: pl.DataFrame) -> dict[Split, Samples]:
        """The samples of some rows (number, split, FIELDS); InputError with the first row that is wrong."""
        if rows.is_empty():
            return {}
        for wrong, what in HOLES:
            file.refuse_where(rows, wrong, what)
        self._check_times(file, rows)
        self._remember(file, rows)
        lengths = rows["history"].list.len().to_numpy()
        row = rows["number"][rows_of(lengths)]
        target = self.number_items(file, rows["target"], rows["number"])
        samples = Samples(
            sample=np.arange(rows.height, dtype=np.int64),
            user=self.users.take(rows["user"]),
            domain=self.domain_of[target].astype(np.int64),
            target=target,
            history=self.number_items(file, rows["history"].explode(empty_as_null=False), row),
            offsets=offsets_of(lengths),
            history_time=as_ints(rows["history_time"].explode(empty_as_null=False)) if self._timed else None,
            target_time=as_ints(rows["target_time"]) if self._timed else None,
        )
        split = rows["split"].to_numpy()
        places = {part: np.flatnonzero(split == part) for part in SPLITS}
        return {part: samples.take(mine) for part, mine in places.items() if len(mine)}

    def refuse_duplicates(self) -> None:
        """InputError at a sample that is there twice, in whichever splits."""
        if not self._seen:
            return
        seen = pl.concat(self._seen)
        again = seen.with_row_index("place").filter(~pl.col("key").is_first_distinct()).head(1)
        if again.height:
            first = seen.filter(pl.col("key") == again["key"][0]).row(0, named=True)
            before = self._files[first["file"]]
            self._files[again["file"][0]].refuse(
                again["number"][0], f"is the sample of {before.path.name}, {before.unit} {first['number']}, once more"
            )

    def number_items(self, file: StrictFile, ids: pl.Series, row: pl.Series) -> Ints:
        """The numbers of items; InputError at the first that the table of items lacks. `row` is the row of each."""
        asked = pl.DataFrame({"id": ids, "row": row})
        joined = asked.join(self._items, on="id", how="left", maintain_order="left")
        unknown = joined.filter(pl.col("number").is_null()).head(1)
        if unknown.height:
            file.refuse(unknown["row"][0], f"names item {unknown['id'][0]!r}, which the table of items lacks")
        return as_ints(joined["number"])

    def _check_times(self, file: StrictFile, rows: pl.DataFrame) -> None:
        for wrong, what in TIME_FAULTS:
            file.refuse_where(rows, wrong.fill_null(False), what)
        if self._timed is None:
            self._timed = rows["target_time"][0] is not None
        others = "has no time" if self._timed else "has times"
        wrong = pl.col("target_time").is_null() == self._timed
        file.refuse_where(rows, wrong, f"{others}, unlike the first sample; give all of them times, or none")

    def _remember(self, file: StrictFile, rows: pl.DataFrame) -> None:
        """A key of every sample, practically never the same for two."""
        if not self._files or self._files[-1] is not file:
            self._files.append(file)
        text = [pl.col("user", "target"), pl.col("target_time").cast(pl.String), pl.col("history").list.join("\x1f")]
        key = pl.concat_str(*text, separator="\x1e", ignore_nulls=True).hash(seed=0)
        self._seen.append(rows.select("number", key=key, file=pl.lit(len(self._files) - 1, pl.Int32)))


def as_ints(values: pl.Series) -> Ints:
    """A column as an array."""
    return np.asarray(values.to_numpy(), dtype=np.int64)
