"""Which samples form a step, and who computes them.

The samples of a step follow from (seed, step) alone, whatever the number of ranks; ranks and micro-steps only share
them out.
"""

from collections.abc import Iterator

import numpy as np

from launch.distributed import World
from training.lessons.twins import ALONE
from training.prompts.pieces import Ints

WINDOW = 50  # global batches among which lengths are sorted: little padding, still a random order


class Plan:
    """The samples of every step."""

    def __init__(self, lengths: Ints, *, global_batch: int, seed: int, twin: Ints | None = None) -> None:
        """twin: [N] the sample that is read in one row with it, or ALONE; then `global_batch` is even."""
        self._twin = np.full(len(lengths), ALONE) if twin is None else twin
        self._lengths = lengths + np.where(self._twin == ALONE, 0, lengths[self._twin])  # both have that of their row
        self._global_batch = global_batch
        self._seed = seed
        self._epoch: tuple[int, list[Ints]] = (-1, [])
        self.steps_per_epoch = -(-len(lengths) // global_batch)
        """Steps of one pass over the samples; one of them may be smaller."""

    def rows(self, step: int) -> Ints:
        """The samples of `step` (from 0): twins one behind the other, before any others; each sort longest first."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._batches(epoch))
        return self._epoch[1][place]

    def _batches(self, epoch: int) -> list[Ints]:
        """Every sample once: shuffled, sorted by length within windows, cut into steps, the steps shuffled. Steps hold
        twins alone or none, all but one, and no twins are cut apart."""
        rng = np.random.default_rng((self._seed, epoch))
        order = rng.permutation(len(self._lengths))
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        twin = self._twin[order]
        single = twin == ALONE
        leads = ~single & (place[order] < place[twin])
        pairs = np.stack([order[leads], twin[leads]], axis=1).ravel()
        rows = np.concatenate([*self._sorted(pairs), *self._sorted(order[single])])
        batches = [rows[cut : cut + self._global_batch] for cut in range(0, len(rows), self._global_batch)]
        return [batches[place] for place in rng.permutation(len(batches))]

    def _sorted(self, rows: Ints) -> Iterator[Ints]:
        window = WINDOW * self._global_batch
        for start in range(0, len(rows), window):
            part = rows[start : start + window]
            yield part[np.argsort(-self._lengths[part], kind="stable")]


def shares(rows: Ints, *, micro_steps: int, per_device_batch: int, world: World, together: int = 1) -> Iterator[Ints]:
    """This rank's rows of each micro-step. Neighbours in length go to the ranks of the same micro-step; a share may
    be empty, but every rank gets as many shares as the others.

    together: so many rows that follow each other stay with one rank; it divides `per_device_batch`.
    """
    width = per_device_batch * world.size
    assert len(rows) <= micro_steps * width
    assert per_device_batch % together == 0
    for start in range(0, micro_steps * width, width):
        part = rows[start : start + width]
        yield part[np.arange(len(part)) // together % world.size == world.rank]
