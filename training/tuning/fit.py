"""The fine-tune's loop: steps, validation, checkpoints. One rank and N give the same losses."""

import logging
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from launch.distributed import World
from launch.errors import InputError
from launch.progress import progress
from launch.tracking import Tracker
from pairs.draws import draw_rows
from training.config import LlmConfig
from training.prompts.pieces import Ints
from training.tuning.batches import Plan, PromptData, collate, shares
from training.tuning.engine import Tuning, accumulation_steps
from training.tuning.losses import learnt_loss
from training.tuning.resume import load_position, save_position
from training.tuning.tuned_weights import save_weights

log = logging.getLogger(__name__)


@dataclass
class Meter:
    """Sums since the last line of the log, on this rank."""

    loss: torch.Tensor
    learnt_tokens: int = 0
    tokens: int = 0
    started: float = 0.0


def fit(
    tuning: Tuning,
    config: LlmConfig,
    *,
    accelerator: Accelerator,
    train: PromptData,
    valid: PromptData,
    pad: int,
    folder: Path,
    seed: int,
    world: World,
    tracker: Tracker,
) -> Path:
    """Train to the end, from the last checkpoint in `folder` where there is one. Returns the folder of the weights
    to keep."""
    plan = Plan(train.lengths, global_batch=config.global_batch, seed=seed)
    total = count_steps(config, plan.steps_per_epoch)
    eval_rows = draw_rows(len(valid), config.eval_samples, seed=seed)
    position = load_position(accelerator, folder, world)
    kept = folder / config.keep
    micro_steps = accumulation_steps(config, world.size)
    log.info(
        "%d steps of %d samples (%.2f epochs), %d x %d a rank",
        total, config.global_batch, total / plan.steps_per_epoch, micro_steps, config.per_device_batch,
    )  # fmt: skip
    meter = _fresh_meter(world)
    for step in progress(range(position.step, total), label="finetune", world=world):
        rows = plan.rows(step)
        lr = learning_rate(step, total, config)
        for group in tuning.optimizer.param_groups:
            group["lr"] = lr
        learnt_tokens = int(train.learnt_lengths[rows].sum())
        # DeepSpeed averages over ranks and micro-steps; the loss is a mean over the learnt tokens of the whole step.
        scale = world.size * micro_steps / learnt_tokens
        tuning.model.train()
        for share in shares(rows, micro_steps=micro_steps, per_device_batch=config.per_device_batch, world=world):
            batch = collate(train, share, pad=pad).to(world.device)
            with accelerator.accumulate(tuning.model):
                summed = learnt_loss(tuning.model, batch)
                accelerator.backward(summed * scale)
            meter.loss += summed.detach()
        meter.learnt_tokens += learnt_tokens
        meter.tokens += int(train.lengths[rows].sum())
        done = step + 1
        position = replace(position, step=done)
        if done % config.log_every == 0 or done == total:
            _log_training(meter, tuning, tracker, world, step=done, lr=lr)
            meter = _fresh_meter(world)
        if done % config.eval_every == 0 or done == total:
            loss = validation_loss(tuning, valid, eval_rows, config, pad=pad, world=world)
            tracker.log({"finetune/valid_loss": loss}, step=done)
            log.info("step %d: validation loss %.4f", done, loss)
            if loss < position.best_loss:
                position = replace(position, best_step=done, best_loss=loss)
                if config.keep == "best":
                    save_weights(accelerator, tuning.model, kept, world=world, lora=config.lora)
        if done % config.checkpoint_every == 0 and done < total:
            save_position(accelerator, folder, position, world)
    if config.keep == "last":
        save_weights(accelerator, tuning.model, kept, world=world, lora=config.lora)
    log.info("keeping the weights of step %d", position.best_step if config.keep == "best" else total)
    return kept


def count_steps(config: LlmConfig, steps_per_epoch: int) -> int:
    """Optimizer steps of the whole run."""
    steps = math.ceil(config.epochs * steps_per_epoch)
    return steps if config.max_steps is None else min(steps, config.max_steps)


def learning_rate(step: int, total: int, config: LlmConfig) -> float:
    """Linear warm-up to `lr`, then a cosine down to `min_lr_ratio * lr`. `step` counts from 0."""
    warmup = math.ceil(config.warmup_ratio * total)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    progressed = (step - warmup) / max(1, total - warmup)
    floor = config.min_lr_ratio
    return config.lr * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progressed)))


@torch.no_grad()
def validation_loss(
    tuning: Tuning, valid: PromptData, rows: Ints, config: LlmConfig, *, pad: int, world: World
) -> float:
    """Mean loss of an answer's token over `rows`, each counted once whatever the number of ranks."""
    tuning.model.eval()
    ordered = rows[np.argsort(-valid.lengths[rows], kind="stable")]
    width = config.per_device_batch * world.size
    summed = torch.zeros((), dtype=torch.float64, device=world.device)
    for share in shares(
        ordered, micro_steps=-(-len(rows) // width), per_device_batch=config.per_device_batch, world=world
    ):
        summed += learnt_loss(tuning.model, collate(valid, share, pad=pad).to(world.device)).double()
    return float(world.sum(summed)) / int(valid.learnt_lengths[rows].sum())


def _log_training(meter: Meter, tuning: Tuning, tracker: Tracker, world: World, *, step: int, lr: float) -> None:
    loss = float(world.sum(meter.loss)) / meter.learnt_tokens
    if not math.isfinite(loss):
        raise InputError(f"the training loss is {loss} at step {step}; lower llm.lr or raise llm.warmup_ratio")
    rate = meter.tokens / (time.monotonic() - meter.started)
    norm = float(tuning.model.get_global_grad_norm() or 0.0)
    tracker.log(
        {"finetune/loss": loss, "finetune/lr": lr, "finetune/grad_norm": norm, "finetune/tokens_per_second": rate},
        step=step,
    )
    log.info("step %d: loss %.4f, gradient norm %.3g, %.0f tokens/s", step, loss, norm, rate)


def _fresh_meter(world: World) -> Meter:
    return Meter(loss=torch.zeros((), dtype=torch.float64, device=world.device), started=time.monotonic())
