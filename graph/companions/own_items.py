"""One pass over the users: what each of them owns, and their pairs for whoever counts them."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from graph.companions.array_files import ArrayWriter, save_array
from graph.companions.counted_runs import CountedRuns, Counts, counted
from graph.companions.pair_keys import NUM_GAPS, most_users, pair_keys
from graph.companions.rules import CompanionRules
from launch.processes.threads import side_by_side
from launch.watch.beats import beat
from pairs.ragged import offsets_of
from pairs.tables import Ints, Samples

PlaceType = type[np.uint16] | type[np.uint32]
Places = npt.NDArray[Any]  # Any: of either type


def write_users(
    folder: Path, known: Samples, rules: CompanionRules, runs: CountedRuns, *, at_once: int, threads: int
) -> None:
    """Write the files of users and `num_users`; the runs get the pairs, of about `at_once` keys a thread at a time."""
    users, number_N = np.unique(known.user, return_inverse=True)
    order = np.argsort(number_N, kind="stable")
    first_row = np.searchsorted(number_N[order], np.arange(len(users) + 1))
    most_own = int(np.bincount(number_N, weights=known.lengths + 1).max(initial=0))
    place_type: PlaceType = np.uint16 if most_own <= 1 << 16 else np.uint32
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

        def owned_by(chunk: tuple[int, int]) -> OwnItems:
            begin, end = chunk
            rows = order[first_row[begin] : first_row[end]]
            return own_items(known.take(rows), number_N[rows] - begin, end - begin, rules, place_type=place_type)

        chunks = list(_chunks(num_keys, at_once, most_users(rules.num_items)))
        for (begin, end), own in zip(chunks, side_by_side(owned_by, chunks, threads=threads), strict=True):
            beat()
            item_counts[begin:end], pair_counts[begin:end] = own.item_counts, own.pair_counts
            own_item.add(own.item)
            for writer, places in zip((own_source, own_target), own.places, strict=True):
                writer.add(places)
            own_gap.add(own.gap)
            num_users += np.bincount(own.item, minlength=len(num_users))
            runs.add(*own.pairs)
    save_array(folder / "num_users.npy", num_users)
    save_array(folder / "own_items.npy", offsets_of(item_counts))
    save_array(folder / "own_pairs.npy", offsets_of(pair_counts))


@dataclass(frozen=True)
class OwnItems:
    """What some users own, user by user: E items, P pairs."""

    item_counts: Ints
    """Of each user."""
    item: Ints  # [E], ascending of each
    pair_counts: Ints
    places: tuple[Places, Places]  # [P], of both items among their user's
    gap: npt.NDArray[np.uint8]  # [P]
    pairs: tuple[Ints, Counts]
    """The keys of all users' pairs, each once, and how many users have them."""


def own_items(
    samples: Samples, user_N: Ints, num_users: int, rules: CompanionRules, *, place_type: PlaceType
) -> OwnItems:
    """Of the samples of users that are numbers `user_N` below `num_users`."""
    whose = np.concatenate([np.repeat(user_N, samples.lengths), user_N])
    owned = np.unique(whose * rules.num_items + np.concatenate([samples.history, samples.target]))
    keys = pair_keys(samples, user_N, num_items=rules.num_items, window=rules.window)
    user, pair = np.divmod(keys, rules.num_items * rules.row_keys)
    pair, gap = np.divmod(pair, NUM_GAPS)
    item_counts = np.bincount(owned // rules.num_items, minlength=num_users)
    first_place = offsets_of(item_counts)[user]
    source, target = (
        (np.searchsorted(owned, user * rules.num_items + part(pair, rules.num_items)) - first_place).astype(place_type)
        for part in (np.floor_divide, np.remainder)
    )
    pair_counts = np.bincount(user, minlength=num_users)
    del user, pair, first_place
    keys %= rules.num_items * rules.row_keys
    return OwnItems(
        item_counts, owned % rules.num_items, pair_counts, (source, target), gap.astype(np.uint8), counted(keys)
    )


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
