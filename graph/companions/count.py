"""Count companions into a folder: users a chunk at a time, pairs by an external sort, in bounded memory.

One pass over the users writes what each of them owns and leaves sorted runs of the pairs they have; one pass over the
merged runs, in order of the first item, counts the users of every pair and writes what is kept of it. Files:

    users.npy [U] ascending ids        num_users.npy [I + 1] users of each item
    own_items.npy [U + 1], own_item    each user's items, ascending
    own_pairs.npy [U + 1], own_{source,target,gap}    each user's pairs, by places among those items; their class
    {X,Y}_offsets.npy [I + 2], _candidate, _counts, _likeness    an item's companions in one domain, ascending
    {X,Y}_least.npy [I + 1]            pairs that fewer users share are left out
    {X,Y}_large_{cell,count}.npy       counts of 255 and more, whose cell in _counts says 255
"""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from graph.companions.array_files import ArrayWriter, save_array
from graph.companions.counted_runs import CountedRuns, Counts
from graph.companions.pair_keys import NUM_GAPS, most_users, pair_keys
from graph.words import Floats
from launch.watch.beats import beat
from pairs.ragged import offsets_of
from pairs.tables import Ints, Samples

BYTES_PER_KEY = 96
"""Of memory, while a chunk's keys are made, sorted and taken apart."""
LARGE = 255
"""From here on a count does not fit its byte."""
ROWS_AT_ONCE = 1 << 16
"""Pairs whose text vectors are compared at a time."""


@dataclass(frozen=True)
class CompanionRules:
    """What is counted of a catalogue."""

    num_items: int
    num_x: int
    window: int
    max_companions: int

    def ids(self, domain: int) -> range:
        """The items of one domain."""
        return range(self.num_x) if domain == 0 else range(self.num_x, self.num_items)


def count_companions(
    folder: Path, known: Samples, text_IK: Floats, rules: CompanionRules, *, memory_gib: float
) -> None:
    """Fill an empty folder. Above `memory_gib` come a few numbers for every item and user, one user's own pairs where
    those are more, and one item's; `text_IK` are the items' text vectors."""
    at_once = max(1, int(memory_gib * 2**30 / BYTES_PER_KEY))
    row_keys = rules.num_items * NUM_GAPS
    runs = CountedRuns(folder / "runs", num_groups=rules.num_items, group_size=row_keys)
    _write_users(folder, known, rules, runs, at_once=at_once)
    with ExitStack() as stack:
        tables = [stack.enter_context(_DomainWriter(folder, rules, domain, text_IK)) for domain in (0, 1)]
        for keys, counts in runs.bands(at_once):
            beat()
            source, rest = np.divmod(keys, row_keys)
            for table in tables:
                table.add(source, rest // NUM_GAPS, rest % NUM_GAPS, counts)
    shutil.rmtree(folder / "runs")


def _write_users(folder: Path, known: Samples, rules: CompanionRules, runs: CountedRuns, *, at_once: int) -> None:
    """What each user owns; the runs get the pairs."""
    users, number_N = np.unique(known.user, return_inverse=True)
    order = np.argsort(number_N, kind="stable")
    first_row = np.searchsorted(number_N[order], np.arange(len(users) + 1))
    most_own = int(np.bincount(number_N, weights=known.lengths + 1).max(initial=0))
    place_type = np.uint16 if most_own <= 1 << 16 else np.uint32
    save_array(folder / "users.npy", users)
    num_users = np.zeros(rules.num_items + 1, dtype=np.int64)
    item_counts, pair_counts = (np.zeros(len(users), dtype=np.int64) for _ in range(2))
    most_keys_N = _most_keys(known.lengths + 1, rules.window)
    num_keys = np.bincount(number_N, weights=most_keys_N, minlength=len(users)).astype(np.int64)
    with ExitStack() as stack:
        own_item, own_source, own_target, own_gap = (
            stack.enter_context(ArrayWriter(folder / f"own_{name}.npy", dtype))
            for name, dtype in (("item", np.int32), ("source", place_type), ("target", place_type), ("gap", np.uint8))
        )
        for begin, end in _chunks(num_keys, at_once, most_users(rules.num_items)):
            beat()
            rows = order[first_row[begin] : first_row[end]]
            samples, user_N = known.take(rows), number_N[rows] - begin
            owned = _owned(samples, user_N, rules.num_items)
            keys = pair_keys(samples, user_N, num_items=rules.num_items, window=rules.window)
            user, pair = np.divmod(keys, rules.num_items**2 * NUM_GAPS)
            pair, gap = np.divmod(pair, NUM_GAPS)
            item_counts[begin:end] = np.bincount(owned // rules.num_items, minlength=end - begin)
            pair_counts[begin:end] = np.bincount(user, minlength=end - begin)
            first_place = offsets_of(item_counts[begin:end])[user]
            for writer, item in ((own_source, pair // rules.num_items), (own_target, pair % rules.num_items)):
                writer.add((np.searchsorted(owned, user * rules.num_items + item) - first_place).astype(place_type))
            own_gap.add(gap.astype(np.uint8))
            items = owned % rules.num_items
            own_item.add(items.astype(np.int32))
            num_users += np.bincount(items, minlength=len(num_users))
            keys %= rules.num_items**2 * NUM_GAPS
            runs.add(keys)
    save_array(folder / "num_users.npy", num_users)
    save_array(folder / "own_items.npy", offsets_of(item_counts))
    save_array(folder / "own_pairs.npy", offsets_of(pair_counts))


def _owned(samples: Samples, user_N: Ints, num_items: int) -> Ints:
    """user * I + item of each user's items, ascending, each once."""
    whose = np.concatenate([np.repeat(user_N, samples.lengths), user_N])
    owned: Ints = np.unique(whose * num_items + np.concatenate([samples.history, samples.target]))
    return owned


def _most_keys(length_N: Ints, window: int) -> Ints:
    """Pairs of positions of each history at most `window` apart, both ways round."""
    reach_N = np.minimum(window, length_N - 1)
    most: Ints = 2 * reach_N * length_N - reach_N * (reach_N + 1)
    return most


def _chunks(weight_U: Ints, most_weight: int, most: int) -> Iterator[tuple[int, int]]:
    """Ranges of users, as many as weigh `most_weight`, at least one."""
    ends = np.cumsum(weight_U)
    begin = 0
    while begin < len(ends):
        before = ends[begin - 1] if begin else 0
        end = int(np.searchsorted(ends, before + most_weight, side="right"))
        end = min(max(end, begin + 1), begin + most)
        yield begin, end
        begin = end


class _DomainWriter:
    """The companions in one domain, as bands of pairs come."""

    def __init__(self, folder: Path, rules: CompanionRules, domain: int, text_IK: Floats) -> None:
        self._rules, self._ids, self._text_IK = rules, rules.ids(domain), text_IK
        self._path = folder / "XY"[domain]
        self._lengths = np.zeros(rules.num_items + 1, dtype=np.int64)
        self._least = np.ones(rules.num_items + 1, dtype=np.int64)
        self._num_pairs = 0

    def __enter__(self) -> "_DomainWriter":
        self._files = ExitStack()
        self._candidate, self._counts, self._likeness, self._large_cell, self._large_count = (
            self._files.enter_context(ArrayWriter(self._file(name), dtype, *shape))
            for name, dtype, shape in (
                ("candidate", np.int32, ()),
                ("counts", np.uint8, (NUM_GAPS,)),
                ("likeness", np.float32, ()),
                ("large_cell", np.int64, ()),
                ("large_count", np.int32, ()),
            )
        )
        return self

    def __exit__(self, *error: object) -> None:
        self._files.__exit__(*error)  # type: ignore[arg-type]  # as the with statement gives them
        if error[0] is None:
            save_array(self._file("offsets"), offsets_of(self._lengths))
            save_array(self._file("least"), self._least)

    def add(self, source: Ints, target: Ints, gap: Ints, counts: Counts) -> None:
        """Cells of whole items (item, companion, class) in this order, with their users."""
        inside = (target >= self._ids.start) & (target < self._ids.stop)
        source, target, gap, counts = source[inside], target[inside], gap[inside], counts[inside]
        if len(source) == 0:
            return
        first = np.flatnonzero(np.append(True, (source[1:] != source[:-1]) | (target[1:] != target[:-1])))
        users = np.add.reduceat(counts, first)
        self._raise_least(source[first], users)
        kept = users >= self._least[source[first]]
        row = np.cumsum(kept) - 1
        cell_row = np.repeat(np.where(kept, row, -1), np.diff(np.append(first, len(source))))
        cells = np.flatnonzero(cell_row >= 0)
        counts_EG = np.zeros((int(kept.sum()), NUM_GAPS), dtype=np.uint8)
        counts_EG[cell_row[cells], gap[cells]] = np.minimum(counts[cells], LARGE)
        large = cells[counts[cells] >= LARGE]
        self._large_cell.add((self._num_pairs + cell_row[large]) * NUM_GAPS + gap[large])
        self._large_count.add(counts[large])
        source, target = source[first][kept], target[first][kept]
        self._candidate.add((target - self._ids.start).astype(np.int32))
        self._counts.add(counts_EG)
        for begin in range(0, len(source), ROWS_AT_ONCE):
            part = slice(begin, begin + ROWS_AT_ONCE)
            self._likeness.add(np.einsum("ek,ek->e", self._text_IK[source[part]], self._text_IK[target[part]]))
        self._lengths += np.bincount(source, minlength=len(self._lengths))
        self._num_pairs += len(source)

    def _raise_least(self, source: Ints, users: Counts) -> None:
        """The smallest number of shared users that leaves at most `max_companions`, for items that have more."""
        items, first, lengths = np.unique(source, return_index=True, return_counts=True)
        most = self._rules.max_companions
        for place in np.flatnonzero(lengths > most):
            shared = np.sort(users[first[place] : first[place] + lengths[place]])[::-1]
            self._least[items[place]] = shared[most] + 1

    def _file(self, name: str) -> Path:
        return self._path.with_name(f"{self._path.name}_{name}.npy")
