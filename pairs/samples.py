"""Cut histories and targets out of the events of a pair: which split an event belongs to, which are targets.

An event has a part: train, valid or test (0, 1, 2). A sample of a part sees only events of its own and earlier parts,
so nothing that is held out for later is in a history, a graph or a count that was made earlier.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from launch.errors import InputError
from pairs.config import PairConfig
from pairs.tables import SPLITS, Ints, Samples, Split

TRAIN, VALID, TEST = 0, 1, 2
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SplitEvents:
    """Events (sorted by user, time, item) with the part of each, and the two cuts in seconds if there are any."""

    events: pl.DataFrame
    cuts: tuple[int, int] | None = None


def split_events(events: pl.DataFrame, config: PairConfig) -> SplitEvents:
    """Add the column `part` by the rule of the configuration."""
    match config.split_rule:
        case "time":
            return split_by_time(events, valid_share=config.valid_share, test_share=config.test_share)
        case "last_out":
            return split_last_out(events)
        case "user":
            return split_by_user(
                events, valid_share=config.valid_share, test_share=config.test_share, seed=config.split_seed
            )
    raise AssertionError(config.split_rule)


def split_by_time(events: pl.DataFrame, *, valid_share: float, test_share: float) -> SplitEvents:
    """Two global cuts: train up to the first, valid up to the second, test after it; shares are of the events."""
    ordered = events["time"].sort()
    first, second = (
        int(ordered[min(round((1 - held_out) * len(ordered)), len(ordered)) - 1])
        for held_out in (valid_share + test_share, test_share)
    )
    part = (pl.col("time") > first).cast(pl.Int8) + (pl.col("time") > second).cast(pl.Int8)
    return SplitEvents(events.with_columns(part=part), (first, second))


def split_last_out(events: pl.DataFrame) -> SplitEvents:
    """A user's last event in each domain is test, the one before it valid."""
    from_end = pl.int_range(pl.len()).reverse().over("user", "domain")
    return SplitEvents(events.with_columns(part=(TEST - from_end).clip(TRAIN, TEST).cast(pl.Int8)))


def split_by_user(events: pl.DataFrame, *, valid_share: float, test_share: float, seed: int) -> SplitEvents:
    """Users are divided; all events of one have the same part."""
    users = events["user"].unique().sort().to_numpy()
    order = np.random.default_rng(seed).permutation(len(users))
    parts = np.full(len(users), TRAIN, dtype=np.int8)
    num_test, num_valid = round(test_share * len(users)), round(valid_share * len(users))
    parts[order[:num_test]] = TEST
    parts[order[num_test : num_test + num_valid]] = VALID
    table = pl.DataFrame({"user": users, "part": parts})
    return SplitEvents(events.join(table, on="user", how="left", maintain_order="left"))


def cut_samples(split: SplitEvents, config: PairConfig) -> dict[Split, Samples]:
    """The samples of every split, numbered through train, valid, test, each sorted by user, target time, item."""
    samples: dict[Split, Samples] = {}
    first = 0
    for part, name in enumerate(SPLITS):
        seen = split.events.filter(pl.col("part") <= part)
        begins, ends = history_windows(seen)
        eligible = (seen["part"].to_numpy() == part) & (ends - begins >= config.min_history)
        # After a cut in time the next purchase is asked for; elsewhere the last one.
        first_ones = config.split_rule == "time" and part != TRAIN
        targets = choose_targets(
            seen, eligible, count=1 if part != TRAIN else config.samples_per_user, first_ones=first_ones
        )
        begins = np.maximum(begins, ends - config.max_history)
        samples[name] = _gather(seen, targets, begins=begins[targets], ends=ends[targets], first=first)
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


def choose_targets(events: pl.DataFrame, eligible: Bools, *, count: int, first_ones: bool) -> Ints:
    """Rows of the first, or the last, `count` eligible events of each user in each domain, in row order."""
    rows = events.select("user", "domain").with_row_index("row").filter(pl.Series(eligible))
    rank = pl.int_range(pl.len()) if first_ones else pl.int_range(pl.len()).reverse()
    chosen = rows.filter(rank.over("user", "domain") < count)
    return chosen["row"].to_numpy().astype(np.int64)


def check_domains(samples: dict[Split, Samples], names: tuple[str, str], *, advice: str) -> None:
    """InputError unless every split has targets of both domains."""
    for split, table in samples.items():
        for domain, name in enumerate(names):
            if not (table.domain == domain).any():
                raise InputError(f"{split} has no target in {name}: an empty domain; {advice}")


def _gather(events: pl.DataFrame, targets: Ints, *, begins: Ints, ends: Ints, first: int) -> Samples:
    lengths = ends - begins
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    flat = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths) + np.repeat(begins, lengths)
    item, time = events["item"].to_numpy(), events["time"].to_numpy()
    return Samples(
        sample=np.arange(first, first + len(targets), dtype=np.int64),
        user=events["user"].to_numpy()[targets],
        domain=events["domain"].to_numpy()[targets].astype(np.int64),
        target=item[targets],
        history=item[flat],
        offsets=offsets,
        history_time=time[flat],
        target_time=time[targets],
    )
