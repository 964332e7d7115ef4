"""The training loop: DistributedDataParallel, early stopping on valid, checkpoints that resume to the bit."""

import logging
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from graph.batches import Batch, epoch_batches, make_batch, rank_rows, steps_of_epoch
from graph.build import Graphs
from graph.config import GraphConfig
from graph.learning.optimizer import build_optimizer, set_rate
from graph.learning.state import EpochSums, copied, peak_memory_gib, some_of
from graph.learning.take_step import take_step
from graph.noise import Noise
from graph.objective import TERMS, Objective, count_terms
from graph.ranking.full_ranking import Judge
from launch.checkpoints import load_checkpoint, save_checkpoint, save_weights, why_damaged
from launch.distributed import World
from launch.errors import InputError
from launch.saves import Writer
from launch.steps import Reached, Rhythm, Wishes, learn
from launch.stopping import is_asked
from launch.tracking import Tracker
from pairs.history_keys import twin_groups
from pairs.tables import Ints, Samples

LOG_EVERY = 50
"""Steps between two lines of losses."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    """What is known of a step before it is taken."""

    rows: Ints  # of the global batch
    batch: Batch  # this rank's share of them
    counts: Tensor  # [terms], addends of each over all ranks


class Trainer:
    """Trains an `Objective` in place."""

    def __init__(
        self,
        objective: Objective,
        graphs: Graphs,
        settings: GraphConfig,
        *,
        seed: int,
        folder: Path,
        world: World,
        tracker: Tracker,
        judged_with: Graphs | None = None,
    ) -> None:
        """Over `graphs`; valid is judged with others where what is learnt from asks less than all that is known."""
        self.objective = objective
        self.graphs = graphs
        self.settings = settings
        self.seed = seed
        self.folder = folder
        self.world = world
        self.tracker = tracker
        self.optimizer = build_optimizer(objective, settings)
        if world.size == 1:  # DistributedDataParallel sums dense gradients only
            objective.keep_rows_only()
        self.judged_by = Judge(objective.ranker, judged_with or graphs, settings, world)
        self._epoch: tuple[int, list[Ints]] = (-1, [])
        self._epoch_sums: EpochSums | None = None
        self._norm = torch.zeros(())
        self._worst = torch.zeros(())  # norm since the start; not a number where one was none
        self._writer = Writer()

    @property
    def best_path(self) -> Path:
        """The weights of the best epoch so far."""
        return self.folder / "best.safetensors"

    def fit(self, train: Samples, valid: Samples) -> Reached:
        """Train until valid stops getting better or the epochs are over; leave the best epoch's weights loaded."""
        self._train, self._valid = train, some_of(valid, self.settings.schedule.valid_samples, seed=self.seed)
        self._twins = twin_groups(train) if self.settings.loss.twins == "together" else None
        saved = load_checkpoint(self.folder, self.world)
        if saved is not None and saved[1]["reached"]["best_step"] > 0:
            why = self._why_damaged()
            if why is not None:
                log.warning("%s: damaged (%s); training starts from the beginning", self.best_path, why)
                saved = None
        reached = Reached() if saved is None else self._restore(saved[1])
        self.tracker.go_on(reached.step)
        # Every rank starts from rank 0's weights: DistributedDataParallel broadcasts them.
        self._step_of = DistributedDataParallel(self.objective) if self.world.size > 1 else self.objective
        self._epoch_steps = steps_of_epoch(len(train), self.settings.schedule.global_batch)
        rhythm = Rhythm(
            total=self.settings.schedule.epochs * self._epoch_steps,
            log_every=LOG_EVERY,
            judge_every=self._epoch_steps,
            save_every=self.settings.schedule.checkpoint_every,
            save_minutes=self.settings.schedule.checkpoint_minutes,
            save_judged=True,
            patience=self.settings.schedule.patience,
        )
        reached = learn(self, rhythm, reached, label="pretrain", world=self.world, tracker=self.tracker)
        self.world.barrier()
        why = self._why_damaged()
        if why is not None:
            raise InputError(f"{self.best_path}: damaged ({why}); start the stage again, it trains them anew")
        self.objective.ranker.load_state_dict(load_file(self.best_path))
        epoch, epochs = reached.best_step // self._epoch_steps, reached.step // self._epoch_steps
        log.info("best epoch %d of %d: valid mrr %.4f", epoch, epochs, reached.best_value)
        return reached

    def agree(self, step: int, wishes: Wishes) -> Wishes:
        """What some rank wishes, in the same sum as the step's counts of terms."""
        rows = self._rows(step)
        batch = make_batch(
            self._train,
            rank_rows(rows, self.world),
            max_history=self.settings.model.max_history,
            pad=self.graphs.num_items,
            device=self.world.device,
        )
        count_T = count_terms(self.graphs, batch, self.settings.loss)
        summed = self.world.sum(torch.cat([count_T, count_T.new_tensor([wishes.stop, wishes.save])]))
        self._next = Step(rows=rows, batch=batch, counts=summed[: len(TERMS)])
        stop, save = summed[len(TERMS) :].tolist()
        return Wishes(stop=stop > 0, save=save > 0)

    def step(self, step: int) -> None:
        """One optimizer step."""
        settings = self.settings
        rows, batch, count_T = self._next.rows, self._next.batch, self._next.counts
        sums = self._epoch_sums = self._epoch_sums or EpochSums()
        self.objective.train()
        loss, sum_T = self._step_of(self.graphs, batch, Noise(self.seed, step, batch.sample), count_T)
        # The loss is a sum over ranks, DistributedDataParallel takes the mean of gradients.
        set_rate(self.optimizer, 1 - step / (settings.schedule.epochs * self._epoch_steps))
        self._norm = take_step(
            loss * self.world.size, self.objective.parameters(), self.optimizer, clip=settings.schedule.grad_clip
        )
        self._worst = torch.maximum(self._worst.to(self._norm.device), self._norm.detach())
        sums.losses, sums.counts = sums.losses + sum_T.cpu(), sums.counts + count_T.cpu()
        sums.sequences += len(rows)

    def log(self, done: int) -> None:
        """The mean of every loss since the last time."""
        sums = self._epoch_sums
        assert sums is not None, "no step was taken"
        mean_T = self.world.sum(sums.losses).cpu() / sums.counts.clamp_min(1)
        means = {f"loss_{term.name}": float(mean_T[t]) for t, term in enumerate(TERMS) if mean_T[t] != 0}
        self.tracker.log(means | {"gradient_norm": float(self._norm), "world_size": self.world.size}, step=done)
        sums.losses, sums.counts = torch.zeros_like(sums.losses), torch.zeros_like(sums.counts)

    def judge(self, done: int) -> float | None:
        """The mean reciprocal rank on valid, at the end of an epoch."""
        self._check_finite(done)
        if self._epoch_sums is not None:  # else it was broken off, and this start has taken no step
            seconds = time.monotonic() - self._epoch_sums.started
            speed = {"sequences_per_second": self._epoch_sums.sequences / max(seconds, 1e-9), "epoch_seconds": seconds}
            self.tracker.log(speed | {"peak_memory_gib": peak_memory_gib(self.world)}, step=done)
            self._epoch_sums = None
        self.objective.eval()
        metrics = self.judged_by.metrics(self._valid, leave=is_asked)
        if metrics is None:
            return None
        self.tracker.log({f"valid_{name}": value for name, value in metrics.items()}, step=done)
        epoch = done // self._epoch_steps
        log.info("epoch %d: valid hr@10 %.4f, mrr %.4f", epoch, metrics["hr@10"], metrics["mrr"])
        return metrics["mrr"]

    def keep(self) -> None:
        """Write the best epoch's weights."""
        if self.world.is_main:
            save_weights(self.best_path, self.objective.ranker, sealed=True)

    def save(self, reached: Reached) -> None:
        """Take a copy of all that a checkpoint holds, and write it while training goes on."""
        self._check_finite(reached.step)
        sums = self._epoch_sums or EpochSums()
        losses = self.world.sum(sums.losses).cpu()
        if self.world.is_main:
            self.settle()
            state = {
                "objective": self.objective.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "reached": asdict(reached),
                "sums": {"losses": losses, "counts": sums.counts},
            }
            copy = copied(state)
            self._writer.write(lambda: save_checkpoint(self.folder, reached.step, copy))

    def settle(self) -> None:
        """Return when the last checkpoint is whole."""
        self._writer.join()

    def _check_finite(self, done: int) -> None:
        """InputError where the gradients of a step were no numbers, on all ranks: its weights must not be saved. It is
        asked before weights are judged or saved, for a GPU would wait at every step."""
        if not math.isfinite(float(self._worst)):
            raise InputError(
                f"the gradient's norm was {float(self._worst)} in a step before step {done}: nothing since the last "
                "checkpoint was saved; lower graph.schedule.lr or graph.schedule.evidence_lr, then start again"
            )

    def _why_damaged(self) -> str | None:
        """None if the best weights are as they were written, else what is not. Call on all ranks."""
        why: str | None = self.world.broadcast_object(why_damaged(self.best_path) if self.world.is_main else None)
        return why

    def _rows(self, step: int) -> Ints:
        """The rows of a step's global batch."""
        epoch, place = divmod(step, self._epoch_steps)
        if self._epoch[0] != epoch:
            global_batch = self.settings.schedule.global_batch
            group = self._twins
            batches = epoch_batches(
                len(self._train), global_batch=global_batch, seed=self.seed, epoch=epoch, group=group
            )
            self._epoch = (epoch, batches)
        return self._epoch[1][place]

    def _restore(self, state: dict[str, Any]) -> Reached:  # Any: what torch.save holds
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        losses, counts = state["sums"]["losses"], state["sums"]["counts"]
        if bool(counts.any()):  # rank 0 has those of all ranks, which are summed up again
            own = losses if self.world.is_main else torch.zeros_like(losses)
            self._epoch_sums = EpochSums(losses=own, counts=counts)
        return Reached(**state["reached"])
