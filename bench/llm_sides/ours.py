"""Our side: steps as the fine-tune takes them."""

import time
from pathlib import Path

import torch

from bench.llm_sides.comparison import Comparison, Measured, fresh_model
from launch.distributed import World
from training.lessons.batches import PromptData, collate
from training.lessons.twins import TwinData
from training.prompts.pieces import Ints
from training.tuning.engine import build_accelerator, wrap
from training.tuning.layers import attention_for, set_attention


def run_ours(
    comparison: Comparison,
    data: PromptData | TwinData,
    apart: PromptData,
    rows: list[Ints],
    run_dir: Path,
    world: World,
) -> Measured:
    """Our steps, the first not timed; `apart`: the same prompts, to compare each one's loss."""
    config = comparison.llm
    model = fresh_model(comparison, run_dir)
    accelerator = build_accelerator(config, world, hidden_size=int(model.config.hidden_size))
    set_attention(model, attention_for(config, world.device), world.device, config.precision)
    tuning = wrap(accelerator, model, config)

    def step(of_step: Ints) -> None:
        tuning.model.train()
        scale = 1 / int(data.learnt_lengths[of_step].sum())
        with accelerator.accumulate(tuning.model):
            accelerator.backward(tuning.loss(data.batch(of_step, step_rows=of_step, pad=0)) * scale)

    step(rows[0])
    tuning.model.eval()
    with torch.no_grad():
        losses = [float(tuning.loss(collate(apart, row[None], pad=0))) for row in rows[0]]
    losses = [loss / int(data.learnt_lengths[row]) for loss, row in zip(losses, rows[0], strict=True)]
    if comparison.compile:
        step(rows[1])  # another shape: what is compiled for it is not timed
    began, cpu = time.perf_counter(), time.process_time()
    for of_step in rows[1:]:
        step(of_step)
    return {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu, "losses": losses}
