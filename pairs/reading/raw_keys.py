"""Where a raw file has what we want, and how that becomes one form: interactions, and items with their texts."""

from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from pairs.reading.read_rows import Check, Column
from pairs.reading.text import attribute_words, clean_titles, cut_titles

EVENT_SCHEMA = {"user": pl.String, "item": pl.String, "time": pl.Int64, "rating": pl.Float32}
TIME_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
"""Above the first number a time is in so many parts of a second: 1e11 seconds would be the year 5138."""
LATEST = 1e20
AMAZON_BEGAN = 1995
LAST_YEAR = 2099
TIME_END = int(datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC).timestamp())
"""No interaction is so late: it is a time in another unit, or none."""
LONGEST_ID = 1000
"""Bytes; hashes have 64. Ids of millions of rows are held at a time."""


@dataclass(frozen=True)
class EventKeys:
    """Where a file of interactions has what we want."""

    user: str
    item: str
    time: str
    rating: str | None = None
    time_format: str | None = None
    """How a time in words is written (strptime); null: a number, of seconds up to nanoseconds."""
    first_year: int = 1970
    """An earlier time is none."""

    def columns(self) -> list[Column]:
        """What to read."""
        time = Column("time", self.time, "text" if self.time_format else "number")
        rating = [Column("rating", self.rating, "number")] if self.rating else []
        return [Column("user", self.user, "id"), Column("item", self.item, "id"), time, *rating]

    def checks(self) -> list[Check]:
        """Which rows cannot be used."""
        seconds = self._seconds()
        unreadable = f"must be a time like {self.time_format}" if self.time_format else "must be a number"
        return [
            Check(_is_blank("user"), f"{self.user} must be text"),
            Check(_is_blank("item"), f"{self.item} must be text"),
            Check(_is_too_long("user"), f"{self.user} must not be longer than {LONGEST_ID} bytes"),
            Check(_is_too_long("item"), f"{self.item} must not be longer than {LONGEST_ID} bytes"),
            Check(seconds.is_null(), f"{self.time} {unreadable}"),
            Check((seconds < 0).fill_null(False), f"{self.time} must not be negative"),
            Check((seconds < self._begin).fill_null(False), f"{self.time} must not be before {self.first_year}"),
            Check((seconds >= TIME_END).fill_null(False), f"{self.time} must not be later than the year {LAST_YEAR}"),
        ]

    def finish(self, rows: pl.DataFrame) -> pl.DataFrame:
        """user, item, time (seconds), rating of rows that passed the checks."""
        rating = pl.col("rating").fill_nan(None) if self.rating else pl.lit(None)
        time = self._seconds().cast(pl.Int64)
        return rows.select("user", "item", time.alias("time"), rating.cast(pl.Float32).alias("rating"))

    @property
    def _begin(self) -> int:
        return int(datetime(self.first_year, 1, 1, tzinfo=UTC).timestamp())

    def _seconds(self) -> pl.Expr:
        time = pl.col("time")
        if self.time_format:
            return time.str.to_datetime(self.time_format, strict=False, time_unit="ms").dt.epoch("s").cast(pl.Float64)
        seconds = time
        for above, parts in reversed(TIME_UNITS):
            seconds = pl.when(time > above).then(time / parts).otherwise(seconds)
        return pl.when(time.is_finite() & (time < LATEST)).then(seconds.floor())


@dataclass(frozen=True)
class ItemKeys:
    """Where a file of items has what we want."""

    item: str
    title: str | None
    words: tuple[str, ...] = ()
    """Keys whose words are the attributes."""

    def columns(self) -> list[Column]:
        """What to read."""
        title = [Column("title", self.title)] if self.title else []
        words = [Column(f"words{place}", key, "words") for place, key in enumerate(self.words)]
        return [Column("item", self.item, "id"), *title, *words]

    def checks(self) -> list[Check]:
        """Which rows cannot be used: a missing title is a fact, a missing id is not."""
        return [
            Check(_is_blank("item"), f"{self.item} must be text"),
            Check(_is_too_long("item"), f"{self.item} must not be longer than {LONGEST_ID} bytes"),
        ]

    def finish(self, rows: pl.DataFrame, *, max_chars: int) -> pl.DataFrame:
        """item, title (cleaned, "" if none), attributes, cut (too long a title) of rows that passed the checks."""
        words = [pl.col(f"words{place}").fill_null([]) for place in range(len(self.words))]
        parts = pl.concat_list(words) if words else pl.lit(None, pl.List(pl.String))
        title = pl.col("title") if self.title else pl.lit(None, pl.String)
        table = rows.select("item", title.alias("title"), parts.alias("words"))
        table = cut_titles(clean_titles(table, "title"), "title", max_chars=max_chars)
        return table.select("item", "title", attribute_words("words").alias("attributes"), "cut")


def _is_too_long(column: str) -> pl.Expr:
    return (pl.col(column).str.len_bytes() > LONGEST_ID).fill_null(False)


def _is_blank(column: str) -> pl.Expr:
    return pl.col(column).is_null() | (pl.col(column) == "").fill_null(True)
