"""The fine-tune beside a plain transformers.Trainer: same model, prompts, ZeRO-3 file, AdamW and batch; one rank each.

    python -m bench.llm_trainer [--base smollm2] [--batch 8] [--steps 6] [--precision bf16] [--learn answer] [--json]
    python -m bench.llm_trainer --prompts RUN --twins ...

Both read the same samples: one step that is not timed, then `steps` steps. The Trainer shuffles them, pads each batch
to its longest prompt and computes the loss from the logits of all positions, as it does by itself; its attention is
transformers' default. After the first step, the same for both, each sample's loss is compared.
With --prompts they are those of a run that is tokenized, else those of the built-in synthetic pair.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from transformers import DataCollatorForSeq2Seq, Trainer, TrainerCallback, TrainingArguments

from bench.llm_prompts import write_random_neighbours
from bench.plan import memory
from launch.artifacts import read_json, write_json
from launch.distributed import World, init_world, join_alone
from launch.processes.pages import page_environment
from launch.stages import stage_named
from launch.tracking import Tracker
from pairs.config import PairConfig
from pairs.prepare import prepare
from training.base_files import find_base
from training.base_model import load_tokenizer_folder
from training.config import LlmConfig, ScratchConfig
from training.finetune import make_small_model, users_of
from training.lessons.batches import IGNORED, PromptData, collate, learn_whole_prompts, read_prompts
from training.lessons.twins import TwinData, with_twins
from training.prompts.config import PromptsConfig
from training.prompts.pieces import Ints
from training.tokenize_prompts import tokenize_prompts
from training.tuning.engine import build_accelerator, deepspeed_settings, wrap
from training.tuning.layers import attention_for, set_attention
from training.tuning.optimizer import BETAS
from training.tuning.steps import Plan

SIDES = ("ours", "theirs")
SWITCHES = ("compile", "twins")
Measured = dict[str, Any]  # Any: seconds, cpu_seconds, peak_mib, losses


@dataclass(frozen=True)
class Comparison:
    """What both sides do."""

    base: str
    batch: int
    steps: int
    tokens: int
    precision: Literal["bf16", "fp32"]
    learn: Literal["answer", "prompt"]
    compile: bool
    twins: bool = False
    hidden: int = 256
    layers: int = 4
    """Of a `scratch` model."""

    @property
    def llm(self) -> LlmConfig:
        """Our side's section of a recipe."""
        return LlmConfig(
            precision=self.precision, global_batch=self.batch, per_device_batch=self.batch, learn=self.learn,
            compile=self.compile, twins=self.twins,
            scratch=ScratchConfig(hidden_size=self.hidden, num_layers=self.layers, num_heads=4),
        )  # fmt: skip


def main() -> None:
    """Measure both and print how they compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="smollm2")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--learn", choices=["answer", "prompt"], default="answer")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--twins", action="store_true")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--prompts", type=Path, metavar="RUN")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)  # one side, in a process of its own
    parser.add_argument("--run-dir", type=Path, help=argparse.SUPPRESS)
    given = vars(parser.parse_args())
    as_json, side, run_dir, prompts = (given.pop(name) for name in ("json", "side", "run_dir", "prompts"))
    comparison = Comparison(**given)
    if side is not None:
        measure_side(comparison, side, run_dir)
        return
    with tempfile.TemporaryDirectory() as folder:
        results = compare(comparison, Path(folder), prompts)
    for name, value in results.items():
        print(f"{name:<34} {value:>12.5g}")
    if as_json:
        print(json.dumps(results))


def compare(comparison: Comparison, run_dir: Path, tokenized: Path | None = None) -> dict[str, float]:
    """Times as fast, in seconds and CPU seconds; the largest difference of a sample's loss, a mean over its learnt
    tokens; our peak of memory over theirs; and what these are made of. `tokenized`: a run with prompts."""
    if tokenized is not None:
        meta = read_json(tokenized / "prompts" / "meta.json")
        if meta["base"] != comparison.base:
            raise SystemExit(f"{tokenized} was tokenized for {meta['base']}: say --base {meta['base']}")
        comparison = replace(comparison, tokens=meta["max_tokens"])
        for name in ("pair", "prompts"):
            (run_dir / name).symlink_to((tokenized / name).absolute(), target_is_directory=True)
        return compare_on(comparison, run_dir)
    prepare(PairConfig(source="synthetic"), run_dir=run_dir)
    write_random_neighbours(run_dir)
    prompts = PromptsConfig(base=comparison.base, scratch_vocab=2048, max_tokens=comparison.tokens, num_neighbours=2)
    tokenize_prompts(prompts, run_dir=run_dir, seed=1, tracker=Tracker(None, "tokenize"))
    return compare_on(comparison, run_dir)


def compare_on(comparison: Comparison, run_dir: Path) -> dict[str, float]:
    """`compare` on the prompts that a run folder holds."""
    sides = {side: launch_side(comparison, side, run_dir) for side in SIDES}
    ours, theirs = sides["ours"], sides["theirs"]
    samples = comparison.steps * comparison.batch
    differences = np.abs(np.array(ours["losses"]) - np.array(theirs["losses"]))
    return {
        "train_speedup": theirs["seconds"] / ours["seconds"],
        "train_speedup_cpu": theirs["cpu_seconds"] / ours["cpu_seconds"],
        "train_loss_difference": float(differences.max()),
        "train_memory_ratio": ours["peak_mib"] / theirs["peak_mib"],
        "samples_per_second": samples / ours["seconds"],
        "samples_per_second_trainer": samples / theirs["seconds"],
        "peak_mib": ours["peak_mib"],
        "peak_mib_trainer": theirs["peak_mib"],
    }


def launch_side(comparison: Comparison, side: str, run_dir: Path) -> Measured:
    """One side in a fresh process, so that each has its own peak of memory."""
    words = [f"--{name}={value}" for name, value in vars(comparison).items() if name not in SWITCHES]
    words += [f"--{name}" for name in SWITCHES if getattr(comparison, name)]
    pages = page_environment(stage_named("finetune"), gpus=0) if side == "ours" else {}
    done = subprocess.run(
        [sys.executable, "-m", "bench.llm_trainer", *words, "--side", side, "--run-dir", str(run_dir)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu", "PYTHONWARNINGS": "ignore", **pages},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-4000:])
    measured: Measured = read_json(run_dir / f"{side}.json")
    return measured


def measure_side(comparison: Comparison, side: str, run_dir: Path) -> None:
    """This process's part; it writes SIDE.json."""
    torch.set_num_threads(1)
    data = read_prompts(run_dir, "train")
    data = learn_whole_prompts(data) if comparison.learn == "prompt" else data
    twins = with_twins(data, users_of(data, run_dir)) if comparison.twins else None
    lengths, twin = (data.lengths, None) if twins is None else (twins.lengths, twins.twin)
    plan = Plan(lengths, global_batch=comparison.batch, seed=1, twin=twin)
    steps = (plan.rows(step) for step in range(plan.steps_per_epoch))
    rows = list(itertools.islice((step for step in steps if len(step) == comparison.batch), 1 + comparison.steps))
    with init_world() as world:
        if side == "ours":
            measured = run_ours(comparison, data if twins is None else twins, data, rows, run_dir, world)
        else:
            measured = run_theirs(comparison, data, rows, run_dir, world)
    write_json(run_dir / f"{side}.json", {**measured, "peak_mib": memory("VmHWM") / 2**20})


def fresh_model(comparison: Comparison, run_dir: Path) -> Any:  # Any: a transformers model
    """What both start from."""
    tokenizer = load_tokenizer_folder(run_dir / "prompts" / "tokenizer")
    return make_small_model(find_base(comparison.base), comparison.llm, tokenizer, comparison.tokens, seed=1)


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


def run_theirs(comparison: Comparison, data: PromptData, rows: list[Ints], run_dir: Path, world: World) -> Measured:
    """The Trainer's steps over the same samples, those of all steps but the first shuffled."""
    config = comparison.llm
    join_alone(world)
    model = fresh_model(comparison, run_dir)
    rest = np.random.default_rng(1).permutation(np.concatenate(rows[1:]))
    samples = [_sample(data, int(row)) for row in [*rows[0], *rest]]
    arguments = TrainingArguments(
        output_dir=str(run_dir / "trainer"), per_device_train_batch_size=comparison.batch,
        max_steps=1 + comparison.steps,
        learning_rate=config.lr, adam_beta1=BETAS[0], adam_beta2=BETAS[1], max_grad_norm=config.clip_norm,
        lr_scheduler_type="constant", bf16=comparison.precision == "bf16", save_strategy="no", logging_strategy="no",
        report_to=[], remove_unused_columns=False, disable_tqdm=True, use_cpu=world.device.type == "cpu",
        deepspeed=deepspeed_settings(config, world, hidden_size=int(model.config.hidden_size)),
    )  # fmt: skip
    tokenizer = load_tokenizer_folder(run_dir / "prompts" / "tokenizer")
    watch = _Watch(samples[: comparison.batch])
    trainer = _InOrder(
        model=model, args=arguments, train_dataset=samples, callbacks=[watch],
        data_collator=DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=IGNORED),
    )  # fmt: skip
    trainer.train()
    return {"seconds": watch.seconds, "cpu_seconds": watch.cpu_seconds, "losses": watch.losses}


class _InOrder(Trainer):
    """Samples as they come: they are shuffled already, and both sides take the same first step."""

    def _get_train_sampler(self, *_: Any) -> Any:  # Any: torch's
        assert isinstance(self.train_dataset, list)
        return torch.utils.data.SequentialSampler(self.train_dataset)


class _Watch(TrainerCallback):
    """Losses after the first step; the time from then on."""

    def __init__(self, samples: list[dict[str, list[int]]]) -> None:
        self.samples, self.losses = samples, list[float]()
        self.seconds = self.cpu_seconds = 0.0
        self._began = (0.0, 0.0)

    def on_step_end(self, args: Any, state: Any, control: Any, **parts: Any) -> None:  # Any: transformers' own
        if state.global_step == 1:
            model = parts["model"]
            model.eval()
            with torch.no_grad():
                for sample in self.samples:
                    batch = {name: torch.tensor([ids]) for name, ids in sample.items()}
                    self.losses.append(float(model(**batch).loss))
            model.train()
            self._began = time.perf_counter(), time.process_time()
        self.seconds = time.perf_counter() - self._began[0]
        self.cpu_seconds = time.process_time() - self._began[1]


def _sample(data: PromptData, row: int) -> dict[str, list[int]]:
    ids = data.dataset[row]["input_ids"]
    read = len(ids) - int(data.learnt_lengths[row])
    return {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": [IGNORED] * read + ids[read:]}


if __name__ == "__main__":
    main()
