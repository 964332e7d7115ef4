"""The training loop: DistributedDataParallel, early stopping on valid, checkpoints that resume to the bit."""

import logging
import resource
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from graph.batches import epoch_batches, make_batch, rank_rows
from graph.build import Graphs
from graph.full_ranking import Judge
from graph.noise import Noise
from graph.objective import TERMS, Objective, count_terms
from graph.presets import GraphSettings
from launch.artifacts import atomic_file
from launch.checkpoints import load_checkpoint, save_checkpoint
from launch.distributed import World
from launch.progress import progress
from launch.tracking import Tracker
from pairs.tables import Samples

BETAS = (0.9, 0.98)
log = logging.getLogger(__name__)


@dataclass
class Progress:
    """How far training is; with the weights and Adam's moments, all that a resumed run needs.

    Data order is a function of (seed, epoch) and noise of (seed, step, sample), so no generator state is kept.
    """

    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    best_mrr: float = -1.0
    best_epoch: int = -1
    finished: bool = False


class Trainer:
    """Trains an `Objective` in place."""

    def __init__(
        self,
        objective: Objective,
        graphs: Graphs,
        settings: GraphSettings,
        *,
        seed: int,
        folder: Path,
        world: World,
        tracker: Tracker,
    ) -> None:
        self.objective = objective
        self.graphs = graphs
        self.settings = settings
        self.seed = seed
        self.folder = folder
        self.world = world
        self.tracker = tracker
        self.optimizer = build_optimizer(objective, settings)
        self.judge = Judge(objective.ranker, graphs, settings, world)
        self.at = Progress()

    @property
    def best_path(self) -> Path:
        """The weights of the best epoch so far."""
        return self.folder / "best.safetensors"

    def fit(self, train: Samples, valid: Samples) -> Progress:
        """Train until valid stops getting better or the epochs are over; leave the best epoch's weights loaded."""
        found = load_checkpoint(self.folder, self.world)
        if found is not None:
            self._restore(found[1])
        # Every rank starts from rank 0's weights: DistributedDataParallel broadcasts them.
        step_of = DistributedDataParallel(self.objective) if self.world.size > 1 else self.objective
        while not self.at.finished:
            self._run_epoch(step_of, train)
            self._judge_epoch(valid)
        self.world.barrier()
        self.objective.ranker.load_state_dict(load_file(self.best_path))
        return self.at

    def _run_epoch(self, step_of: nn.Module, train: Samples) -> None:
        settings, at = self.settings, self.at
        batches = epoch_batches(len(train), global_batch=settings.global_batch, seed=self.seed, epoch=at.epoch)
        total_steps = settings.epochs * len(batches)
        self.objective.train()
        sums_T, counts_T, started, sequences = torch.zeros(len(TERMS)), torch.zeros(len(TERMS)), time.monotonic(), 0
        todo = batches[at.step_in_epoch :]
        for rows in progress(todo, label=f"pretrain epoch {at.epoch + 1}", world=self.world):
            batch = make_batch(
                train,
                rank_rows(rows, self.world),
                max_history=settings.max_history,
                pad=self.graphs.num_items,
                device=self.world.device,
            )
            count_T = self.world.sum(count_terms(self.graphs, batch, settings))
            noise = Noise(self.seed, at.step, batch.sample)
            loss, sum_T = step_of(self.graphs, batch, noise, count_T)
            # The loss is a sum over ranks, DistributedDataParallel takes the mean of gradients.
            (loss * self.world.size).backward()
            norm = nn.utils.clip_grad_norm_(self.objective.parameters(), settings.grad_clip)
            set_rate(self.optimizer, 1 - at.step / total_steps)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            at.step, at.step_in_epoch = at.step + 1, at.step_in_epoch + 1
            sums_T, counts_T, sequences = sums_T + sum_T.cpu(), counts_T + count_T.cpu(), sequences + len(rows)
            if at.step % settings.checkpoint_every == 0 and at.step_in_epoch < len(batches):
                self._save()
            if at.step % 50 == 0:
                self._log_losses(sums_T, counts_T, norm)
                sums_T, counts_T = torch.zeros_like(sums_T), torch.zeros_like(counts_T)
        seconds = time.monotonic() - started
        speed = {"sequences_per_second": sequences / max(seconds, 1e-9), "epoch_seconds": seconds}
        self.tracker.log(speed | {"peak_memory_gib": peak_memory_gib(self.world)}, step=at.step)

    def _judge_epoch(self, valid: Samples) -> None:
        at = self.at
        self.objective.eval()
        found = self.judge.metrics(valid)
        self.tracker.log({f"valid_{name}": value for name, value in found.items()}, step=at.step)
        log.info("epoch %d: valid hr@10 %.4f, mrr %.4f", at.epoch + 1, found["hr@10"], found["mrr"])
        if found["mrr"] > at.best_mrr:
            at.best_mrr, at.best_epoch = found["mrr"], at.epoch
            if self.world.is_main:
                save_weights(self.best_path, self.objective.ranker)
        at.epoch, at.step_in_epoch = at.epoch + 1, 0
        no_better = at.epoch - 1 - at.best_epoch
        at.finished = at.epoch >= self.settings.epochs or no_better >= self.settings.patience
        self._save()

    def _log_losses(self, sum_T: Tensor, count_T: Tensor, norm: Tensor) -> None:
        """Called on all ranks: sums are reduced."""
        mean_T = self.world.sum(sum_T).cpu() / count_T.clamp_min(1)
        means = {f"loss_{term}": float(mean_T[t]) for t, term in enumerate(TERMS) if mean_T[t] != 0}
        self.tracker.log(means | {"gradient_norm": float(norm)}, step=self.at.step)

    def _save(self) -> None:
        if self.world.is_main:
            state = {
                "objective": self.objective.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "progress": asdict(self.at),
            }
            save_checkpoint(self.folder, self.at.step, state)

    def _restore(self, state: dict[str, Any]) -> None:  # Any: what torch.save holds
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.at = Progress(**state["progress"])


def build_optimizer(objective: Objective, settings: GraphSettings) -> torch.optim.AdamW:
    """Adam with decoupled decay of tables and matrices; evidence weights have a rate of their own and no decay."""
    ranker = objective.ranker
    evidence = [*ranker.evidence.parameters(), *ranker.blend.parameters()]
    known = {id(weight) for weight in evidence}
    tables = [*ranker.model.tables.values(), ranker.model.attribute_table]
    known |= {id(weight) for weight in tables}
    others = [weight for weight in objective.parameters() if id(weight) not in known]
    table_lr = settings.lr * settings.table_rate
    groups = [
        {
            "params": [w for w in tables if w.requires_grad],
            "lr": table_lr,
            "weight_decay": settings.weight_decay,
        },
        {"params": [w for w in others if w.ndim > 1], "lr": settings.lr, "weight_decay": settings.weight_decay},
        {"params": [w for w in others if w.ndim <= 1], "lr": settings.lr, "weight_decay": 0.0},
        {"params": evidence, "lr": settings.evidence_lr, "weight_decay": 0.0},
    ]
    chosen = [{**group, "peak": group["lr"]} for group in groups if group["params"]]
    return torch.optim.AdamW(chosen, betas=BETAS)


def set_rate(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Learning rates as a share of their peaks."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * share


def save_weights(path: Path, module: nn.Module) -> None:
    """A module's weights as safetensors, atomically; the same weights give the same bytes."""
    with atomic_file(path) as partial:
        save_file({name: weight.detach().cpu().contiguous() for name, weight in module.state_dict().items()}, partial)


def peak_memory_gib(world: World) -> float:
    """Most memory this rank has held: on its GPU, or in the process."""
    if world.device.type == "cuda":
        return torch.cuda.max_memory_allocated(world.device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
