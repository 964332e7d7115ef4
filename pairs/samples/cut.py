"""Cut histories and targets out of the events of a pair: which split an event belongs to, which are targets.

An event has a part: train, valid or test (0, 1, 2). A sample of a part sees only events of its own and earlier parts,
so nothing that is held out for later is in a history, a graph or a count that was made earlier.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from pairs.config import PairConfig, SplitRule
from pairs.ragged import offsets_of, places_of, segments
from pairs.tables import SPLITS, Ints, Samples, Split

BINS = 1 << 16
TRAIN, VALID, TEST = 0, 1, 2
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SplitPlan:
    """What decides the part of an event beside the event's own user's others."""

    rule: SplitRule
    cuts: tuple[int, int] | None = None
    """`time`: the two cuts, in seconds."""
    part_of_user: npt.NDArray[np.int8] | None = None
    """`user`: the part of every user [U]."""


def plan_split(config: PairConfig, *, num_users: int, times: Callable[[], Iterable[Ints]]) -> SplitPlan:
    """The cuts, or who belongs to which part; `times` gives the times of all events, in pieces, as often as asked."""
    shares = {"valid_share": config.valid_share, "test_share": config.test_share}
    match config.split_rule:
        case "time":
            return SplitPlan("time", cuts=choose_cuts(times, **shares))
        case "user":
            return SplitPlan("user", part_of_user=divide_users(num_users, **shares, seed=config.split_seed))
    return SplitPlan(config.split_rule)


def choose_cuts(times: Callable[[], Iterable[Ints]], *, valid_share: float, test_share: float) -> tuple[int, int]:
    """Two global cuts: train up to the first, valid up to the second, test after it; shares are of the events."""
    total = sum(len(piece) for piece in times())
    places = [min(round((1 - held_out) * total), total) - 1 for held_out in (valid_share + test_share, test_share)]
    return nth_smallest(times, places[0]), nth_smallest(times, places[1])


def divide_users(num_users: int, *, valid_share: float, test_share: float, seed: int) -> npt.NDArray[np.int8]:
    """The part of every user [U]; all events of one have the same part."""
    order = np.random.default_rng(seed).permutation(num_users)
    parts = np.full(num_users, TRAIN, dtype=np.int8)
    num_test, num_valid = round(test_share * num_users), round(valid_share * num_users)
    parts[order[:num_test]] = TEST
    parts[order[num_test : num_test + num_valid]] = VALID
    return parts


def assign_parts(events: pl.DataFrame, plan: SplitPlan) -> pl.DataFrame:
    """Events of whole users (sorted by user, time, item) with the column `part`."""
    if plan.cuts is not None:
        first, second = plan.cuts
        part = (pl.col("time") > first).cast(pl.Int8) + (pl.col("time") > second).cast(pl.Int8)
        return events.with_columns(part=part)
    if plan.part_of_user is not None:
        return events.with_columns(part=pl.Series(plan.part_of_user[events["user"].to_numpy()], dtype=pl.Int8))
    assert plan.rule in ("last_out", "last_one_out"), plan.rule  # the last event is test, the one before it valid
    whose = ["user", "domain"] if plan.rule == "last_out" else ["user"]
    from_end = pl.int_range(pl.len()).reverse().over(whose)
    return events.with_columns(part=(TEST - from_end).clip(TRAIN, TEST).cast(pl.Int8))


def cut_samples(events: pl.DataFrame, config: PairConfig) -> dict[Split, Samples]:
    """The samples of every split out of events of whole users with their parts, sorted by user, target time, item.

    They are numbered through train, valid, test, from 0.
    """
    samples: dict[Split, Samples] = {}
    first = 0
    for part, name in enumerate(SPLITS):
        seen = events.filter(pl.col("part") <= part)
        begins, ends = history_windows(seen)
        eligible = (seen["part"].to_numpy() == part) & (ends - begins >= config.min_history)
        # After a cut in time the next purchase is asked for; elsewhere the last one.
        first_ones = config.split_rule == "time" and part != TRAIN
        targets = choose_targets(
            seen,
            eligible,
            count=1 if part != TRAIN else config.samples_per_user,
            first_ones=first_ones,
            each_domain=config.split_rule != "last_one_out",
        )
        begins = np.maximum(begins, ends - config.max_history)
        samples[name] = gather(seen, targets, begins=begins[targets], ends=ends[targets], first=first)
        first += len(targets)
    return samples


def history_windows(events: pl.DataFrame) -> tuple[Ints, Ints]:
    """For every row of events sorted by user and time: the rows [begin, end) of the same user strictly earlier."""
    user, time = events["user"].to_numpy(), events["time"].to_numpy()
    rows = np.arange(len(user))
    new_user = np.ones(len(user), dtype=bool)
    new_user[1:] = user[1:] != user[:-1]
    new_time = new_user.copy()
    new_time[1:] |= time[1:] != time[:-1]
    begins = np.maximum.accumulate(np.where(new_user, rows, 0))
    ends = np.maximum.accumulate(np.where(new_time, rows, 0))
    return begins.astype(np.int64), ends.astype(np.int64)


def choose_targets(
    events: pl.DataFrame, eligible: Bools, *, count: int, first_ones: bool, each_domain: bool = True
) -> Ints:
    """Rows of the first, or the last, `count` eligible events of each user (in each domain), in row order."""
    rows = np.flatnonzero(eligible)
    whose = events["user"].to_numpy()[rows].astype(np.int64)
    if each_domain:
        whose = whose * 2 + events["domain"].to_numpy()[rows]
    order = np.argsort(whose, kind="stable")  # the rows of one user and domain side by side, in row order
    grouped = whose[order]
    begins = np.append(True, grouped[1:] != grouped[:-1])[: len(grouped)]
    starts = np.flatnonzero(begins)
    sizes = np.diff(np.append(starts, len(grouped)))
    rank = places_of(sizes)
    if not first_ones:
        rank = np.repeat(sizes, sizes) - 1 - rank
    return np.sort(rows[order[rank < count]])


def gather(events: pl.DataFrame, targets: Ints, *, begins: Ints, ends: Ints, first: int) -> Samples:
    """Samples numbered from `first`: the rows `targets` [N] of events (user, item, domain, time), each with the rows
    [begin, end) for its history."""
    lengths = ends - begins
    flat = segments(begins, lengths)
    item, time = events["item"].to_numpy(), events["time"].to_numpy()
    return Samples(
        sample=np.arange(first, first + len(targets), dtype=np.int64),
        user=events["user"].to_numpy()[targets],
        domain=events["domain"].to_numpy()[targets].astype(np.int64),
        target=item[targets],
        history=item[flat],
        offsets=offsets_of(lengths),
        history_time=time[flat],
        target_time=time[targets],
    )


def nth_smallest(pieces: Callable[[], Iterable[Ints]], place: int) -> int:
    """The number at `place` (from 0) if all pieces were sorted into one; `pieces` is called once a pass.

    By counting, since they need not fit in memory: each pass narrows the range that the number can be in.
    """
    bounds = [(int(piece.min()), int(piece.max())) for piece in pieces() if len(piece)]
    low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
    while low < high:
        width = -(-(high - low + 1) // BINS)
        counts = np.zeros(BINS, dtype=np.int64)
        below = 0
        for piece in pieces():
            below += int((piece < low).sum())
            inside = piece[(piece >= low) & (piece <= high)]
            counts += np.bincount((inside - low) // width, minlength=BINS)
        chosen = int(np.searchsorted(below + np.cumsum(counts), place, side="right"))
        low, high = low + chosen * width, min(low + (chosen + 1) * width - 1, high)
    return low
