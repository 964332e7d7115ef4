"""Validation: the loss and, of lists, how well they are ranked; a sample counts once whatever the number of ranks."""

from dataclasses import dataclass

import numpy as np
import torch

from launch.distributed import World
from launch.stopping import is_asked
from launch.watch.beats import beat
from training.config import Judge, LlmConfig
from training.lessons.batches import Data
from training.lessons.list_data import ListData
from training.prompts.pieces import Ints
from training.tuning.engine import Tuning
from training.tuning.steps import shares


@dataclass(frozen=True)
class Validation:
    """What was measured over the validation samples."""

    loss: float
    """The mean of a learnt token or list."""
    auc: float | None = None
    """The share of the other candidates of its list that a target beats, ties half, the mean over lists; None: no lists
    are learnt."""
    first: float | None = None
    """The share of lists whose target is first."""

    def score(self, judge: Judge) -> float:
        """What a fine-tune is judged by, the higher the better."""
        if judge == "loss":
            return -self.loss
        assert self.auc is not None, "lists were measured"
        return self.auc

    @property
    def meters(self) -> dict[str, float]:
        """For TensorBoard, by name."""
        named = {"valid_loss": self.loss, "valid_auc": self.auc, "valid_first": self.first}
        return {name: value for name, value in named.items() if value is not None}


@torch.no_grad()
def validate(
    tuning: Tuning, valid: Data, rows: Ints, config: LlmConfig, *, pad: int, world: World
) -> Validation | None:
    """Measure `rows` of `valid`. None, on all ranks, if one of them was told to stop meanwhile."""
    tuning.model.eval()
    ordered = rows[np.argsort(-valid.lengths[rows], kind="stable")]
    width = config.per_device_batch * world.size
    summed = torch.zeros(3, dtype=torch.float64, device=world.device)
    for share in shares(
        ordered, micro_steps=-(-len(rows) // width), per_device_batch=config.per_device_batch, world=world
    ):
        beat()
        if world.any(is_asked()):
            return None
        summed += tuning.measure(valid.batch(share, step_rows=rows, pad=pad).to(world.device)).double()
    loss, beaten, first = world.sum(summed).tolist()
    learnt = int(valid.learnt_lengths[rows].sum())
    if not isinstance(valid, ListData):
        return Validation(loss / learnt)
    return Validation(loss / learnt, auc=beaten / len(rows), first=first / len(rows))
