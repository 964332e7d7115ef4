"""The fine-tune's loop: steps, validation, checkpoints. One rank and N give the same losses."""

import logging
import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from accelerate import Accelerator

from launch.distributed import World
from launch.errors import InputError
from launch.steps import Reached, Rhythm, Wishes, learn
from launch.tracking import Tracker
from launch.watch.beats import beat
from pairs.draws import draw_rows
from training.config import LlmConfig
from training.lessons.batches import Data
from training.lessons.list_data import ListData
from training.lessons.twins import TwinData
from training.saved.resume import LossSums, load_position, save_position
from training.saved.tuned_weights import save_weights
from training.tuning.engine import Tuning, accumulation_steps
from training.tuning.guards import SpikeGuard, check_finite_step
from training.tuning.meter import Arithmetic, Meter
from training.tuning.optimizer import count_steps, learning_rate
from training.tuning.steps import Plan, shares
from training.tuning.validation import Validation, validate

log = logging.getLogger(__name__)


def fit(
    tuning: Tuning,
    config: LlmConfig,
    *,
    accelerator: Accelerator,
    train: Data,
    valid: Data,
    valid_lists: ListData | None = None,
    pad: int,
    folder: Path,
    seed: int,
    world: World,
    tracker: Tracker,
) -> Path:
    """Train to the end, from the last checkpoint in `folder` where there is one. Returns the folder of the weights
    to keep. `valid_lists`: those that a model which learns to write is judged by, where it is."""
    twin = train.twin if isinstance(train, TwinData) else None
    plan = Plan(train.lengths, global_batch=config.global_batch, seed=seed, twin=twin)
    total = count_steps(config, plan.steps_per_epoch)
    best = folder / "best" if config.keep == "best" else None
    reached, sums = load_position(tuning.model, accelerator, folder, world, seed=seed, best=best)
    tracker.go_on(reached.step)
    fine_tune = FineTune(
        tuning=tuning,
        config=config,
        accelerator=accelerator,
        train=train,
        valid=valid,
        valid_lists=valid_lists,
        seed=seed,
        plan=plan,
        total=total,
        together=config.together,
        micro_steps=accumulation_steps(config, world.size),
        pad=pad,
        folder=folder,
        world=world,
        tracker=tracker,
        arithmetic=tuning.arithmetic(world),
        meter=_fresh_meter(world, sums),
        spikes=SpikeGuard(config.skip_spikes, sums.usual, sums.usual_steps, sums.skipped),
    )
    log.info(
        "%d steps of %d samples (%.2f epochs), %d x %d a rank",
        total, config.global_batch, total / plan.steps_per_epoch, fine_tune.micro_steps, config.per_device_batch,
    )  # fmt: skip
    rhythm = Rhythm(
        total=total,
        log_every=config.log_every,
        judge_every=config.eval_every,
        save_every=config.checkpoint_every,
        save_minutes=config.checkpoint_minutes,
        patience=config.patience,
    )
    if reached.step == 0:
        fine_tune.judge(0)  # what the steps start from; no weights are kept for it
    reached = learn(fine_tune, rhythm, reached, label="finetune", world=world, tracker=tracker)
    if config.keep == "last":
        fine_tune.write_weights()
    log.info("keeping the weights of step %d", reached.best_step if config.keep == "best" else total)
    return fine_tune.kept


@dataclass
class FineTune:
    """What a step, a validation and a checkpoint of the fine-tune are; when they come, `launch.steps` says."""

    tuning: Tuning
    config: LlmConfig
    accelerator: Accelerator
    train: Data
    valid: Data
    valid_lists: ListData | None
    seed: int
    plan: Plan
    total: int
    together: int
    """Samples that stay with one rank, two by two where twins are read in one row."""
    micro_steps: int
    pad: int
    folder: Path
    world: World
    tracker: Tracker
    arithmetic: Arithmetic
    meter: Meter
    spikes: SpikeGuard

    @property
    def kept(self) -> Path:
        """The folder of the weights that are kept."""
        return self.folder / self.config.keep

    def agree(self, step: int, wishes: Wishes) -> Wishes:
        """What some rank wishes."""
        stop, save = self.world.sum(torch.tensor([wishes.stop, wishes.save], dtype=torch.int64)).tolist()
        return Wishes(stop=stop > 0, save=save > 0)

    def step(self, step: int) -> None:
        """One optimizer step: forward and backward over this rank's shares. InputError where it made no numbers."""
        self.meter.begin()
        rows, model = self.plan.rows(step), self.tuning.model
        self._set_rate(learning_rate(step, self.total, self.config))
        learnt_tokens = int(self.train.learnt_lengths[rows].sum())
        # DeepSpeed averages over ranks and micro-steps; the loss is a mean over the learnt tokens of the whole step.
        scale = self.world.size * self.micro_steps / learnt_tokens
        model.train()
        loss = torch.zeros_like(self.meter.loss)
        width = self.config.per_device_batch
        for place, share in enumerate(
            shares(
                rows,
                micro_steps=self.micro_steps,
                per_device_batch=width,
                world=self.world,
                together=self.together,
            )
        ):
            beat()
            with self.meter.waiting():
                batch = self.train.batch(share, step_rows=rows, pad=self.pad).to(self.world.device)
            with self.accelerator.accumulate(model):
                summed = self.tuning.loss(batch)
                loss += summed.detach()
                if place == self.micro_steps - 1:  # the weights change in the backward pass that follows
                    self._step_over_spike(loss, learnt_tokens, step=step)
                self.accelerator.backward(summed * scale)
        check_finite_step(self.tuning.gradient_norm, step=step + 1)
        self.meter.loss += loss
        self.meter.end(self.train, rows, self.arithmetic)

    def _set_rate(self, lr: float) -> None:
        for group in self.tuning.optimizer.param_groups:
            group["lr"] = lr

    def _step_over_spike(self, loss: torch.Tensor, learnt_tokens: int, *, step: int) -> None:
        """Leave the weights as they are in this step if its loss is a spike; its clipped gradient still enters the
        moments. Nothing is asked of the other ranks unless the recipe asks for it."""
        if self.config.skip_spikes is None:
            return
        mean, usual = float(self.world.sum(loss)) / learnt_tokens, self.spikes.usual
        if self.spikes.is_spike(mean):
            self._set_rate(0.0)
            self.meter.skipped += 1
            if self.world.is_main:
                log.warning("step %d: its loss is %.4f, the usual %.4f: the weights stay", step + 1, mean, usual)

    def log(self, done: int) -> None:
        """The mean loss since the last time, the rate of the last step."""
        lr = learning_rate(done - 1, self.total, self.config)
        _log_training(self.meter, self.arithmetic, self.tuning, self.tracker, self.world, step=done, lr=lr)
        self.meter = _fresh_meter(self.world)

    def judge(self, done: int) -> float | None:
        """By the validation loss, negative, or by the AUC: the higher the better."""
        measured = self._validate(self.valid)
        if measured is not None and self.valid_lists is not None:
            of_lists = self._validate(self.valid_lists)
            measured = None if of_lists is None else replace(of_lists, loss=measured.loss)
        if measured is None:
            return None
        self.tracker.log({f"finetune/{name}": value for name, value in measured.meters.items()}, step=done)
        ranked = "" if measured.auc is None else f", AUC {measured.auc:.4f}, target first {measured.first:.4f}"
        log.info("step %d: validation loss %.4f%s", done, measured.loss, ranked)
        return measured.score(self.config.judge)

    def _validate(self, data: Data) -> Validation | None:
        rows = draw_rows(len(data), self.config.eval_samples, seed=self.seed)
        return validate(self.tuning, data, rows, self.config, pad=self.pad, world=self.world)

    def keep(self) -> None:
        """Write the best weights, if the best are asked for."""
        if self.config.keep == "best":
            self.write_weights()

    def save(self, reached: Reached) -> None:
        """Write a checkpoint."""
        sums = LossSums(
            loss=float(self.world.sum(self.meter.loss)),
            learnt_tokens=self.meter.learnt_tokens,
            usual=self.spikes.usual,
            usual_steps=self.spikes.steps,
            skipped=self.spikes.skipped,
        )
        save_position(self.accelerator, self.folder, reached, self.world, sums=sums)

    def settle(self) -> None:
        """A checkpoint is whole when `save` returns."""

    def write_weights(self) -> None:
        """Write the weights as they are now."""
        save_weights(self.accelerator, self.tuning.model, self.kept, world=self.world, lora=self.config.lora)


def _log_training(
    meter: Meter, arithmetic: Arithmetic, tuning: Tuning, tracker: Tracker, world: World, *, step: int, lr: float
) -> None:
    loss = float(world.sum(meter.loss)) / meter.learnt_tokens
    if not math.isfinite(loss):
        raise InputError(f"the training loss is {loss} at step {step}; lower llm.lr or raise llm.warmup_ratio")
    rates = meter.rates(arithmetic, world)
    norm = tuning.gradient_norm
    tracker.log({"loss": loss, "lr": lr, "grad_norm": norm, "world_size": world.size, **rates}, step=step)
    log.info(
        "step %d: loss %.4f, gradient norm %.3g, %.0f tokens/s (%.0f learnt), %.1f %% of the peak, %.1f GiB",
        step, loss, norm, rates["tokens_per_second"], rates["learnt_tokens_per_second"], 100 * rates["mfu"],
        rates["memory_gib"],
    )  # fmt: skip


def _fresh_meter(world: World, sums: LossSums | None = None) -> Meter:
    """A meter that has run from `sums`, of which rank 0 has all that is summed over ranks, or from nothing."""
    sums = sums or LossSums()
    loss = torch.tensor(sums.loss if world.is_main else 0.0, dtype=torch.float64, device=world.device)
    return Meter(loss=loss, learnt_tokens=sums.learnt_tokens)
