"""The validation loss: of answers, each counted once whatever the number of ranks."""

import numpy as np
import torch

from launch.distributed import World
from launch.stopping import is_asked
from launch.watch.beats import beat
from training.config import LlmConfig
from training.prompts.pieces import Ints
from training.tuning.batches import Data, shares
from training.tuning.engine import Tuning


@torch.no_grad()
def validation_loss(
    tuning: Tuning, valid: Data, rows: Ints, config: LlmConfig, *, pad: int, world: World
) -> float | None:
    """Mean loss of an answer's token over `rows`, each counted once whatever the number of ranks.

    None, on all ranks, if one of them was told to stop meanwhile.
    """
    tuning.model.eval()
    ordered = rows[np.argsort(-valid.lengths[rows], kind="stable")]
    width = config.per_device_batch * world.size
    summed = torch.zeros((), dtype=torch.float64, device=world.device)
    for share in shares(
        ordered, micro_steps=-(-len(rows) // width), per_device_batch=config.per_device_batch, world=world
    ):
        beat()
        if world.any(is_asked()):
            return None
        summed += tuning.loss(valid.batch(share, step_rows=rows, pad=pad).to(world.device)).double()
    return float(world.sum(summed)) / int(valid.learnt_lengths[rows].sum())
