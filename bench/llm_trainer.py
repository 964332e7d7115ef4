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
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from bench.llm_prompts import write_random_neighbours
from bench.llm_sides.comparison import Comparison, Measured
from bench.llm_sides.ours import run_ours
from bench.llm_sides.theirs import run_theirs
from bench.plan import memory
from launch.artifacts import read_json, write_json
from launch.distributed import init_world
from launch.processes.pages import page_environment
from launch.stages import stage_named
from launch.tracking import Tracker
from pairs.config import PairConfig
from pairs.prepare import prepare
from training.finetune import users_of
from training.lessons.batches import learn_whole_prompts, read_prompts
from training.lessons.twins import with_twins
from training.prompts.config import PromptsConfig
from training.tokenize_prompts import tokenize_prompts
from training.tuning.steps import Plan

SIDES = ("ours", "theirs")
SWITCHES = ("compile", "twins")


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
    prompts = PromptsConfig(
        base=comparison.base, scratch_vocab=2048, max_tokens=comparison.tokens, num_neighbours=2,
        order="own_first" if comparison.twins else "kindred_first",
    )  # fmt: skip
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


if __name__ == "__main__":
    main()
