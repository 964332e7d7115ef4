"""Two prompts of one user in one row, so that what both begin with is read once.

    [padding] what both say, the rest of the first and its answer, the rest of the second and its answer

Each rest sees what both say and itself, and its positions go on from there: as if the other were not in the row. A loss
is that of the two apart, up to rounding and to what a dropout draws. Prompts begin alike where own items stand first
(`prompts.order: own_first`) and both ask about one history, as on pairs that leave each domain's last item out. Where
some prompts of a batch have no twin there, two of these share a row and nothing else, so that rows are of like lengths.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from pairs.ragged import offsets_of, segments
from training.lessons.batches import PromptData, Work, learnt_flags
from training.prompts.assembly import Mask
from training.prompts.pieces import Ints
from training.ranking.packing import NOTHING, packed_inputs

ALONE = -1
ROW_PROMPTS = 2
STRIDE = 1 + ROW_PROMPTS
"""Parts of a stream: what its prompts share and the rest of each. Prompts that share nothing are two streams."""
LEAST_SHARED = 0.2
"""Of the shorter of two prompts: below it they stay apart, for attention looks at the square of a row."""
PAIRS_AT_ONCE = 8192


@dataclass(frozen=True)
class TwinRows:
    """R rows of one or two prompts, left-padded to T tokens, and the N tokens that are learnt of them."""

    input_ids: torch.Tensor  # [R, T]
    position_ids: torch.Tensor  # [R, T]
    part: torch.Tensor  # [R, T], NOTHING or a part of a stream, the streams' one after the other
    row: torch.Tensor  # [N]
    before: torch.Tensor  # [N], the column after which the token is learnt
    label: torch.Tensor  # [N]
    times: torch.Tensor  # [N], 2 for what both prompts teach

    def to(self, device: torch.device) -> "TwinRows":
        """The same on `device`."""
        return TwinRows(*(getattr(self, field.name).to(device) for field in fields(self)))

    def inputs(self, model: Any) -> dict[str, Any]:  # Any: a transformers model, bare or under DeepSpeed; its arguments
        """What `model` is called with."""
        return packed_inputs(model, self.input_ids, self.position_ids, self.part, stride=STRIDE)


@dataclass(frozen=True)
class TwinData:
    """Prompts of which some are read with their twin; as `PromptData` otherwise."""

    prompts: PromptData
    twin: Ints  # [N], the other prompt of the pair, or ALONE
    shared: Ints  # [N], tokens that are read with the twin's: those of a pair's second, else 0
    shared_learnt: Ints  # [N], of these, tokens that are learnt

    @cached_property
    def lengths(self) -> Ints:
        """[N] tokens that are read."""
        return self.prompts.lengths - self.shared

    @property
    def learnt_lengths(self) -> Ints:
        """[N] as if each stood alone."""
        return self.prompts.learnt_lengths

    def __len__(self) -> int:
        return len(self.prompts)

    def work(self, rows: Ints) -> Work:
        """What `rows` cost, whose twins are among them."""
        apart, shared = self.prompts.work(rows), self.shared[rows].astype(float)
        return Work(
            tokens=apart.tokens - shared.sum(),
            squares=apart.squares - (shared**2).sum(),
            scored=apart.scored - float(self.shared_learnt[rows].sum()),
        )

    def batch(self, share: Ints, *, step_rows: Ints, pad: int) -> TwinRows:
        """The prompts of `share`: two that follow each other and are twins make a row."""
        return pack_twins(self.prompts, share, self.twin, pad=pad)


def with_twins(prompts: PromptData, user: Ints) -> TwinData:
    """Pair up the prompts of each user [N] that begin alike, two by two in the order of the data set."""
    order = np.argsort(user, kind="stable")
    begins = np.flatnonzero(np.r_[True, user[order][1:] != user[order][:-1]][: len(order)])
    place = np.arange(len(order)) - np.repeat(begins, np.diff(np.r_[begins, len(order)]))
    leads = np.flatnonzero((place[:-1] % 2 == 0) & (place[1:] > 0))  # an even one, and the user goes on
    first, second = order[leads], order[leads + 1]
    shared, learnt = (np.zeros(len(first), dtype=np.int64) for _ in range(2))
    for start in range(0, len(first), PAIRS_AT_ONCE):
        chunk = slice(start, start + PAIRS_AT_ONCE)
        shared[chunk], learnt[chunk] = _shared(prompts, first[chunk], second[chunk])
    worth = shared >= LEAST_SHARED * np.minimum(prompts.lengths[first], prompts.lengths[second])
    first, second = first[worth], second[worth]
    twin = np.full(len(prompts), ALONE, dtype=np.int64)
    twin[first], twin[second] = second, first
    of_second, learnt_of_second = np.zeros_like(twin), np.zeros_like(twin)
    of_second[second], learnt_of_second[second] = shared[worth], learnt[worth]
    return TwinData(prompts, twin, of_second, learnt_of_second)


def pack_twins(data: PromptData, rows: Ints, twin: Ints, *, pad: int) -> TwinRows:
    """`rows` as a batch. No rows give one token of padding of which nothing is learnt: a rank without work must still
    take part in the collectives of a forward pass."""
    if len(rows) == 0:
        one, none = torch.zeros((1, 1), dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
        return TwinRows(one + pad, one, one + NOTHING, none, none, none, none)
    table = data.dataset[rows.tolist()]
    learnt = learnt_flags(data, table, rows)
    prompts = [_Prompt(np.asarray(ids), flags) for ids, flags in zip(table["input_ids"], learnt, strict=True)]
    packed = [_packed(members) for members in _members(prompts, rows, twin)]
    T = max(len(one.ids) for one in packed)
    ids, positions, part = (np.full((len(packed), T), of_padding, dtype=np.int64) for of_padding in (pad, 0, NOTHING))
    for number, line in enumerate(packed):
        start = T - len(line.ids)
        ids[number, start:], positions[number, start:], part[number, start:] = line.ids, line.positions, line.part
        line.before += start
    counts = [len(line.before) for line in packed]
    columns = (ids, positions, part, np.repeat(np.arange(len(packed)), counts))
    learnt_of = (np.concatenate([getattr(line, name) for line in packed]) for name in ("before", "label", "times"))
    return TwinRows(*(torch.from_numpy(column) for column in (*columns, *learnt_of)))


@dataclass(frozen=True)
class _Prompt:
    ids: Ints
    learnt: Mask


@dataclass
class _Row:
    ids: Ints
    positions: Ints
    part: Ints
    before: Ints
    label: Ints
    times: Ints


def _members(prompts: list[_Prompt], rows: Ints, twin: Ints) -> list[list[list[_Prompt]]]:
    """Of every row its streams' prompts: twins in one stream; others in a row each or, beside twins, two."""
    pairs, singles = list[list[_Prompt]](), list[list[_Prompt]]()
    place = 0
    while place < len(rows):
        both = place + 1 < len(rows) and twin[rows[place]] == rows[place + 1]
        (pairs if both else singles).append(prompts[place : place + 1 + both])
        place += 1 + both
    streams = ROW_PROMPTS if pairs else 1
    return [[pair] for pair in pairs] + [singles[start : start + streams] for start in range(0, len(singles), streams)]


def _packed(streams: Sequence[list[_Prompt]]) -> _Row:
    """A row of streams, which see nothing of each other."""
    whole = _Row(*(np.zeros(0, dtype=np.int64) for _ in range(6)))
    for number, prompts in enumerate(streams):
        own = _stream(prompts)
        own.before += len(whole.ids)
        own.part += STRIDE * number
        parts = ((getattr(whole, field.name), getattr(own, field.name)) for field in fields(_Row))
        whole = _Row(*(np.concatenate(both) for both in parts))
    return whole


def _stream(prompts: list[_Prompt]) -> _Row:
    """One prompt or two twins; what is learnt is never a prompt's first token."""
    first, second = prompts[0], prompts[-1]
    shared = len(first.ids) if len(prompts) == 1 else shared_start(first.ids, second.ids)
    own = slice(shared, None)
    rests = [len(first.ids) - shared, len(second.ids) - shared]
    times = np.concatenate([first.learnt, second.learnt[own]]).astype(np.int64)
    if len(prompts) > 1:
        times[:shared] += second.learnt[:shared]
    ids = np.concatenate([first.ids, second.ids[own]])
    positions = np.concatenate([np.arange(len(first.ids)), np.arange(shared, len(second.ids))])
    column = np.flatnonzero(times)
    before = np.where(column == len(first.ids), shared - 1, column - 1)  # the second rest goes on from what both say
    return _Row(ids, positions, np.repeat(np.arange(STRIDE), [shared, *rests]), before, ids[column], times[column])


def shared_start(first: Ints, second: Ints) -> int:
    """Tokens with which both begin, so that each has one of its own left."""
    most = min(len(first), len(second)) - 1
    differs = first[:most] != second[:most]
    return int(differs.argmax()) if differs.any() else most


def _shared(prompts: PromptData, first: Ints, second: Ints) -> tuple[Ints, Ints]:
    """[P] `shared_start` of every pair, and how many of these tokens are learnt."""
    most = np.minimum(prompts.lengths[first], prompts.lengths[second]) - 1
    (left, begins), (right, begins_too) = (_flat(prompts, side, "input_ids") for side in (first, second))
    differs = left[segments(begins, most)] != right[segments(begins_too, most)]
    ends = offsets_of(most)
    wrong = np.flatnonzero(np.r_[differs, True])
    shared = np.minimum(wrong[np.searchsorted(wrong, ends[:-1])] - ends[:-1], most)
    if prompts.items_alone:
        flags, begins = _flat(prompts, first, "of_items")
        sums = offsets_of(flags)
        return shared, sums[begins + shared] - sums[begins]
    before = prompts.lengths[first] - prompts.learnt_lengths[first]
    return shared, np.maximum(shared - before, 0)


def _flat(prompts: PromptData, rows: Ints, column: str) -> tuple[Ints, Ints]:
    """A column's values of `rows`, one prompt after another, and where each begins."""
    lists = pa.concat_arrays(prompts.dataset.with_format("arrow")[rows.tolist()][column].chunks)
    offsets = np.asarray(lists.offsets, dtype=np.int64)
    values = lists.values.slice(offsets[0], offsets[-1] - offsets[0])
    return values.to_numpy(zero_copy_only=False).astype(np.int64), offsets[:-1] - offsets[0]
