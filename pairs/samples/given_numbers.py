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
HOLES = (
    (pl.col("split").is_null(), "has no split"),
    (~pl.col("split").is_in(SPLITS), "split must be train, valid or test, got {split!r}"),
    (pl.col("user").fill_null("") == "", "has no user"),
    (pl.col("target").fill_null("") == "", "has no target"),
    (pl.col("history").list.len().fill_null(0) == 0, "has an empty history"),
    (pl.col("user").str.len_bytes() > LONGEST_ID, f"its user must not be longer than {LONGEST_ID} bytes"),
    (pl.col("history").list.contains(None, nulls_equal=True), "its history holds a null"),
)
TIME_FAULTS = (
    (pl.col("history_time").is_null() != pl.col("target_time").is_null(), "has one of history_time and target_time"),
    (pl.col("history_time").list.contains(None, nulls_equal=True), "history_time holds a null"),
    (
        pl.col("history_time").list.len() != pl.col("history").list.len(),
        "history_time has not one time for each item of its history",
    ),
    (
        (pl.col("history_time").list.min() < 0)
        | (pl.col("history_time").list.max() >= YEAR_2100)
        | ~pl.col("target_time").is_between(0, YEAR_2100 - 1),
        "has a time outside 1970..2099; times are seconds (divide milliseconds by 1000)",
    ),
    (pl.col("history_time").list.diff().list.min() < 0, "history_time is not in order, oldest first"),
)


class SampleNumbers:
    """Numbers for users as they come and for items as they are known; what was seen so far."""

    def __init__(self, items: pl.DataFrame) -> None:
        self._items = items.select(pl.col("source_id").alias("id"), number="item")
        self._domain_of = items["domain"].to_numpy()
        self._users = pl.DataFrame(schema={"user": pl.String, "number": pl.Int64})
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
        target = self._number_items(file, rows["target"], rows["number"])
        samples = Samples(
            sample=np.arange(rows.height, dtype=np.int64),
            user=self._number_users(rows["user"]),
            domain=self._domain_of[target].astype(np.int64),
            target=target,
            history=self._number_items(file, rows["history"].explode(empty_as_null=False), row),
            offsets=offsets_of(lengths),
            history_time=_ints(rows["history_time"].explode(empty_as_null=False)) if self._timed else None,
            target_time=_ints(rows["target_time"]) if self._timed else None,
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

    def users(self) -> pl.DataFrame:
        """user, source_id of every user, ascending."""
        return self._users.select(user="number", source_id="user")

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

    def _number_items(self, file: StrictFile, ids: pl.Series, row: pl.Series) -> Ints:
        asked = pl.DataFrame({"id": ids, "row": row})
        joined = asked.join(self._items, on="id", how="left", maintain_order="left")
        unknown = joined.filter(pl.col("number").is_null()).head(1)
        if unknown.height:
            file.refuse(unknown["row"][0], f"names item {unknown['id'][0]!r}, which the table of items lacks")
        return _ints(joined["number"])

    def _number_users(self, ids: pl.Series) -> Ints:
        asked = pl.DataFrame({"user": ids})
        new = asked.unique(maintain_order=True).join(self._users, on="user", how="anti", maintain_order="left")
        first = self._users.height
        numbers = pl.int_range(first, first + new.height, dtype=pl.Int64, eager=True)
        self._users = pl.concat([self._users, new.with_columns(number=numbers)])
        return _ints(asked.join(self._users, on="user", how="left", maintain_order="left")["number"])


def _ints(values: pl.Series) -> Ints:
    return np.asarray(values.to_numpy(), dtype=np.int64)
