"""Rows of the table that `bench.graph` prints, and how their times are taken."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the table; the ratio is ours by the other's."""

    what: str
    unit: str
    kinrec: float
    beside: float
    beside_it: str

    @property
    def ratio(self) -> float:
        """Of rates, above 1 is faster; of memory, above 1 is more."""
        return self.kinrec / self.beside


def fastest(ours: Callable[[], object], other: Callable[[], object], *, repeats: int) -> tuple[float, float]:
    """The shortest times of both, taken in turn: what else the machine does meets both."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for into, work in zip(seconds, (ours, other), strict=True):
            started = time.perf_counter()
            work()
            into.append(time.perf_counter() - started)
    return min(seconds[0]), min(seconds[1])


def shown(value: float) -> str:
    """Whole numbers with commas; small ones with three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def speed(what: str, unit: str, count: int, mine: float, other: float, beside_it: str) -> Row:
    """A row of rates."""
    return Row(what, unit, count / mine, count / other, beside_it)


def told_rows(rows: list[Row]) -> list[Row]:
    """The same, printed as soon as they are there."""
    for row in rows:
        numbers = f"{row.unit:>12}{shown(row.kinrec):>13}{shown(row.beside):>13}{row.ratio:>7.2f}"
        print(f"{row.what:<54}{numbers}  {row.beside_it}", flush=True)
    return rows


def told(values: dict[str, float]) -> dict[str, float]:
    """The same, printed as soon as they are there."""
    for name, value in values.items():
        print(f"{name:<54}{value:>25.4g}", flush=True)
    return values
