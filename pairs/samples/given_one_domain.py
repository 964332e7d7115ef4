"""Read somebody's own users of one domain: a table of events (user, item, time), or of a row for each (user, history).

They have times where the samples have; elsewhere a time gives events their order, and no more.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from launch.errors import InputError
from pairs.ragged import rows_of
from pairs.reading.bad_rows import Ledger
from pairs.samples.given_numbers import (
    EMPTY_HISTORY,
    HISTORY_OUTSIDE,
    LONG_USER,
    NO_USER,
    NULL_IN_HISTORY,
    NULL_TIME,
    OUTSIDE,
    TIMES_OF_ITEMS,
    UNSORTED,
    YEAR_2100,
    SampleNumbers,
    UserNumbers,
    as_ints,
)
from pairs.samples.one_domain import OneDomainUsers
from pairs.samples.strict_rows import Field, StrictFile
from pairs.tables import Ints

ROWS, EVENTS, TIMED_EVENTS = "a row for each user", "events without times", "events with times"
USER, ITEM, HISTORY = Field("user", "text"), Field("item", "text"), Field("history", "texts")
TIME, HISTORY_TIME = Field("time", "time"), Field("history_time", "times")
EVENT_HOLES = (NO_USER, LONG_USER, (pl.col("item").fill_null("") == "", "has no item"))
ROW_HOLES = (NO_USER, LONG_USER, EMPTY_HISTORY, NULL_IN_HISTORY)
NO_TIME = (pl.col("time").is_null(), "has no time")
TIME_OUTSIDE = (~pl.col("time").is_between(0, YEAR_2100 - 1), OUTSIDE)
ROW_TIME_FAULTS = (
    (pl.col("history_time").is_null(), "has no history_time"),
    NULL_TIME,
    TIMES_OF_ITEMS,
    HISTORY_OUTSIDE,
    UNSORTED,
)


@dataclass(frozen=True)
class OneDomainReader:
    """What the table's files are read against."""

    numbers: SampleNumbers
    """Of the pair's items, and of the users who are asked."""
    into: OneDomainUsers
    ledger: Ledger

    def read(self, files: Sequence[StrictFile]) -> None:
        """The whole table; InputError with the first row that cannot be meant."""
        forms = [self._form_of(file) for file in files]
        other = next((place for place, form in enumerate(forms) if form != forms[0]), None)
        if other is not None:
            raise InputError(
                f"{files[other].path}: holds {forms[other]}, {files[0].path.name} {forms[0]}; give all files one form"
            )
        if forms[0] == ROWS:
            self._read_rows(files)
        else:
            self._read_events(files, ordered=forms[0] == TIMED_EVENTS)

    def _form_of(self, file: StrictFile) -> str:
        columns = file.columns()
        told = [name for name in ("item", "history") if name in columns]
        if len(told) != 1:
            raise InputError(
                f"{file.path}: has {'both' if told else 'neither'} of the columns 'item' (an event a {file.unit}) and "
                f"'history' (a user a {file.unit}) (its columns: {', '.join(columns) or 'none'}); give it one of them"
            )
        if "target" in columns:
            raise InputError(
                f"{file.path}: has a column 'target', for which users of one domain are never asked; put all that one "
                "bought into 'history' and leave it out"
            )
        if told == ["history"]:
            return ROWS
        return TIMED_EVENTS if self.into.timed or "time" in columns else EVENTS

    def _read_rows(self, files: Sequence[StrictFile]) -> None:
        seen = UserNumbers()
        for file in files:
            count = self.ledger.open(file.path, unit=file.unit)
            for rows in file.read([USER, HISTORY, *([HISTORY_TIME] if self.into.timed else [])]):
                count.good += rows.height
                for wrong, what in (*ROW_HOLES, *(ROW_TIME_FAULTS if self.into.timed else ())):
                    file.refuse_where(rows, wrong, what)
                first = len(seen)
                user_N = seen.take(rows["user"])
                self._refuse_asked(file, rows)
                again = pl.Series(user_N != np.arange(first, first + rows.height))
                file.refuse_where(
                    rows, pl.lit(again), "user {user!r} is there already, a user of one domain has one row"
                )
                lengths_N = rows["history"].list.len().to_numpy()
                row = rows["number"][rows_of(lengths_N)]
                item = self.numbers.number_items(file, rows["history"].explode(empty_as_null=False), row)
                times = rows["history_time"].explode(empty_as_null=False) if self.into.timed else None
                self.into.add(self._as_events(np.repeat(user_N, lengths_N), item, times))

    def _read_events(self, files: Sequence[StrictFile], *, ordered: bool) -> None:
        seen = UserNumbers()
        events = [self._as_events(np.empty(0, np.int64), np.empty(0, np.int64), None)]
        for file in files:
            count = self.ledger.open(file.path, unit=file.unit)
            for rows in file.read([USER, ITEM, *([TIME] if ordered else [])]):
                count.good += rows.height
                faults = (*([NO_TIME] if ordered else []), *([TIME_OUTSIDE] if self.into.timed else []))
                for wrong, what in (*EVENT_HOLES, *faults):
                    file.refuse_where(rows, wrong, what)
                self._refuse_asked(file, rows)
                item = self.numbers.number_items(file, rows["item"], rows["number"])
                events.append(self._as_events(seen.take(rows["user"]), item, rows["time"] if ordered else None))
        order = ["user", "time", "item"] if ordered else ["user"]  # as where KinRec cuts the samples itself
        self.into.add(pl.concat(events).sort(order, maintain_order=True))

    def _refuse_asked(self, file: StrictFile, rows: pl.DataFrame) -> None:
        what = "user {user!r} has samples in train, valid or test, too; who is asked about teaches by them"
        file.refuse_where(rows, pl.lit(self.numbers.users.known(rows["user"])), what)

    def _as_events(self, user: Ints, item: Ints, time: pl.Series | None) -> pl.DataFrame:
        columns = {
            "user": user,
            "item": item,
            "domain": self.numbers.domain_of[item].astype(np.int8),
            "time": np.zeros(len(item), np.int64) if time is None else as_ints(time),
        }
        return pl.DataFrame(columns)
