"""Batches of samples: the order of an epoch, each rank's part, and what is to be predicted at each position."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from launch.distributed import World
from pairs.tables import Ints, Samples


@dataclass(frozen=True)
class Batch:
    """Some samples as tensors. Histories are left-padded with `pad`, the number of items."""

    sample: Tensor  # [B]
    user: Tensor  # [B]
    domain: Tensor  # [B]
    target: Tensor  # [B]
    history: Tensor  # [B, L]
    moment: Tensor  # [B], seconds, as of when it asks; 0 where there are no times

    def __len__(self) -> int:
        return len(self.sample)

    def take(self, rows: Tensor) -> "Batch":
        """Only `rows`."""
        columns = (self.sample, self.user, self.domain, self.target, self.history, self.moment)
        return Batch(*(column[rows] for column in columns))


def make_batch(samples: Samples, rows: Ints, *, max_history: int, pad: int, device: torch.device) -> Batch:
    """The samples at `rows`, on `device`."""
    chosen = samples.take(rows)
    moment = np.zeros(len(rows), np.int64) if chosen.target_time is None else chosen.target_time
    columns = (chosen.sample, chosen.user, chosen.domain, chosen.target, chosen.recent(max_history, pad), moment)
    return Batch(*(torch.from_numpy(np.ascontiguousarray(column)).to(device) for column in columns))


def steps_of_epoch(num_rows: int, global_batch: int) -> int:
    """Steps of one pass over the rows."""
    return max(1, num_rows // global_batch)


def epoch_batches(num_rows: int, *, global_batch: int, seed: int, epoch: int, group: Ints | None = None) -> list[Ints]:
    """The rows of each step's global batch: every row once, in an order set by (seed, epoch), sizes as equal as can be.

    Equal sizes, rather than a short last batch, leave every rank with a sample in every step.

    Args:
        group: [N] numbers from 0 on; rows of one number follow each other.
    """
    random = np.random.default_rng([seed, epoch])
    if group is None:
        order = random.permutation(num_rows)
    else:
        order = np.argsort(random.permutation(int(group.max(initial=0)) + 1)[group], kind="stable")
    return [rows.astype(np.int64) for rows in np.array_split(order, steps_of_epoch(num_rows, global_batch))]


def rank_rows(rows: Ints, world: World) -> Ints:
    """This rank's part of a global batch."""
    share = world.share(len(rows))
    return rows[share.start : share.stop]


def next_items(batch: Batch, *, pad: int) -> Tensor:
    """The item after each position [B, L], the target after the last; `pad` where the position is padding."""
    next_BL = torch.cat([batch.history[:, 1:], batch.target[:, None]], dim=1)
    return torch.where(batch.history != pad, next_BL, pad)


def next_of_own_domain(batch: Batch, *, num_x: int, pad: int) -> Tensor:
    """The next item of the position's own domain [B, L], the target included; `pad` where there is none."""
    return torch.where(
        batch.history < num_x,
        _next_of(batch, domain=0, num_x=num_x, pad=pad),
        torch.where(batch.history != pad, _next_of(batch, domain=1, num_x=num_x, pad=pad), pad),
    )


def _next_of(batch: Batch, *, domain: int, num_x: int, pad: int) -> Tensor:
    """The first item of a domain after each position [B, L]."""
    sequence_BM = torch.cat([batch.history, batch.target[:, None]], dim=1)
    is_it_BM = (sequence_BM < num_x) if domain == 0 else (sequence_BM >= num_x) & (sequence_BM != pad)
    length = sequence_BM.shape[1]
    place_M = torch.arange(length, device=sequence_BM.device)
    place_BL = torch.where(is_it_BM, place_M, length)[:, 1:]
    first_BL = place_BL.flip(1).cummin(dim=1).values.flip(1)
    padded_BM = torch.cat([sequence_BM, torch.full_like(batch.target[:, None], pad)], dim=1)
    return padded_BM.gather(1, first_BL)


def predicted(length: int, last: int, device: torch.device) -> Tensor:
    """[L] whether a position is one of the `last` ones that are learnt from; 0: all."""
    place_L = torch.arange(length, device=device)
    return place_L >= (length - last if last else 0)
