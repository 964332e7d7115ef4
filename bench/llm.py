"""The LLM stages: prompts against a plain tokeniser loop, ZeRO on ranks against a plain loop and transformers.Trainer.

    python -m bench.llm [--ranks 2] [--steps 4] [--hidden 256 --layers 4] [--base smollm2] [--json]

Everything is measured in this run, on the built-in synthetic pair. Padding does not count as tokens.
"""

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from bench.llm_prompts import measure_prompts, write_random_neighbours
from bench.llm_sides.comparison import Comparison
from bench.llm_trainer import compare_on
from launch.artifacts import read_json, write_json
from launch.distributed import World, init_world
from pairs.config import PairConfig
from pairs.prepare import prepare
from training.base_files import find_base
from training.base_model import load_tokenizer_folder
from training.config import LlmConfig, ScratchConfig
from training.finetune import make_small_model
from training.lessons.batches import PaddedPrompts, PromptData, collate, read_prompts
from training.precision import resolve_precision
from training.prompts.config import PromptsConfig
from training.tuning.engine import accumulation_steps, build_accelerator, wrap
from training.tuning.layers import set_attention
from training.tuning.losses import learnt_loss
from training.tuning.steps import Plan, shares

DS_CONFIGS = Path(__file__).parent.parent / "ds_configs"


@dataclass(frozen=True)
class Settings:
    """What is measured."""

    base: str
    ranks: int
    steps: int
    hidden: int
    layers: int
    batch: int

    @property
    def prompts(self) -> PromptsConfig:
        return PromptsConfig(base=self.base, scratch_vocab=2048, max_tokens=256, num_neighbours=2, kindred="histories")

    @property
    def comparison(self) -> Comparison:
        """With transformers.Trainer, in the precision that this machine computes natively."""
        return Comparison(
            base=self.base, batch=self.batch // self.ranks, steps=self.steps, tokens=256, compile=False, learn="answer",
            precision=resolve_precision("auto", torch.device("cpu")), hidden=self.hidden, layers=self.layers,
        )  # fmt: skip

    def llm(self, **changes: Any) -> LlmConfig:  # Any: fields of the config
        sizes = ScratchConfig(hidden_size=self.hidden, num_layers=self.layers, num_heads=4)
        config = LlmConfig(global_batch=self.batch, per_device_batch=self.batch // self.ranks, scratch=sizes)
        return replace(config, **changes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="scratch")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--on-ranks", type=Path, help=argparse.SUPPRESS)  # the ranks' own part, under the launcher
    given = vars(parser.parse_args())
    as_json, on_ranks = given.pop("json"), given.pop("on_ranks")
    settings = Settings(**given)
    logging.basicConfig(level=logging.WARNING)
    if on_ranks is not None:
        measure_on_ranks(settings, on_ranks)
        return
    with tempfile.TemporaryDirectory() as folder:
        results = measure(settings, Path(folder))
        beside_trainer = compare_on(settings.comparison, Path(folder))
    print(f"{'measured':<44} {'per second':>12} {'against':>12} {'times':>7}")
    for name, row in results.items():
        print(f"{name:<44} {row['rate']:>12,.0f} {row['against']:>12,.0f} {row['rate'] / row['against']:>7.2f}")
    for name, value in beside_trainer.items():
        print(f"{name:<44} {value:>12.5g}")
    if as_json:
        print(json.dumps({**results, **beside_trainer}))


def measure(settings: Settings, run_dir: Path) -> dict[str, dict[str, float]]:
    """All rates: what, and what it is compared with."""
    prepare(PairConfig(source="synthetic"), run_dir=run_dir)
    write_random_neighbours(run_dir)
    results = {"prompts assembled / tokenised one by one": measure_prompts(settings.prompts, run_dir)}
    data = read_prompts(run_dir, "train")
    plain = {name: measure_loop(settings, run_dir, data, precision=name, loss=learnt_loss) for name in ("bf16", "fp32")}
    every = measure_loop(settings, run_dir, data, precision="fp32", loss=loss_of_all_logits)
    results["tokens, answers' logits / all logits, fp32"] = {"rate": plain["fp32"], "against": every}
    results["tokens, bf16 / fp32, one plain process"] = {"rate": plain["bf16"], "against": plain["fp32"]}
    rates = launch_ranks(settings, run_dir)
    for name, rate in rates.items():
        label = f"tokens, {name}, {settings.ranks} ranks / one plain process"
        results[label] = {"rate": rate, "against": plain[name.split()[1]]}
    return results


def measure_loop(
    settings: Settings,
    run_dir: Path,
    data: PromptData,
    *,
    precision: str,
    loss: Callable[[Any, PaddedPrompts], torch.Tensor],
) -> float:
    """Tokens a second of a plain PyTorch loop in this process."""
    config = settings.llm(precision=precision)
    model = fresh_model(settings, run_dir, config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    alone = World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))

    def step(rows: Any) -> None:  # Any: an array of rows
        micro_steps = -(-len(rows) // config.per_device_batch)
        for share in shares(rows, micro_steps=micro_steps, per_device_batch=config.per_device_batch, world=alone):
            torch.autograd.backward(loss(model, collate(data, share, pad=0)) / len(rows))
        optimizer.step()
        optimizer.zero_grad()

    return rate_of(step, data, settings)


def measure_on_ranks(settings: Settings, run_dir: Path) -> None:
    """Tokens a second under DeepSpeed, for every file and precision; rank 0 writes rates.json."""
    from accelerate.state import AcceleratorState

    rates = {}
    with init_world() as world:
        data = read_prompts(run_dir, "train")
        for precision in ("bf16", "fp32"):
            for name in ("zero3", "zero2"):
                AcceleratorState._reset_state(reset_partial_state=True)
                config = settings.llm(precision=precision, deepspeed=name)
                model = fresh_model(settings, run_dir, config)
                accelerator = build_accelerator(config, world, hidden_size=int(model.config.hidden_size))
                set_attention(model, config.attention, world.device, config.precision)
                tuning = wrap(accelerator, model, config)
                micro_steps = accumulation_steps(config, world.size)

                def step(
                    rows: Any, tuning: Any = tuning, accelerator: Any = accelerator, micro_steps: int = micro_steps
                ) -> None:  # Any: bound now, the loop goes on
                    for share in shares(
                        rows, micro_steps=micro_steps, per_device_batch=settings.batch // settings.ranks, world=world
                    ):
                        with accelerator.accumulate(tuning.model):
                            accelerator.backward(tuning.loss(collate(data, share, pad=0)) / len(rows))

                rates[f"{name} {precision}"] = rate_of(step, data, settings)
        if world.is_main:
            write_json(run_dir / "rates.json", rates)


def fresh_model(settings: Settings, run_dir: Path, config: LlmConfig) -> Any:  # Any: a transformers model
    tokenizer = load_tokenizer_folder(run_dir / "prompts" / "tokenizer")
    return make_small_model(find_base(settings.base), config, tokenizer, 256, seed=1)


def rate_of(step: Callable[[Any], None], data: PromptData, settings: Settings) -> float:
    """Tokens a second over `steps` steps, after one to warm up."""
    plan = Plan(data.lengths, global_batch=settings.batch, seed=1)
    step(plan.rows(0))
    started = time.perf_counter()
    for number in range(1, settings.steps + 1):
        step(plan.rows(number))
    tokens = sum(int(data.lengths[plan.rows(number)].sum()) for number in range(1, settings.steps + 1))
    return tokens / (time.perf_counter() - started)


def loss_of_all_logits(model: Any, batch: PaddedPrompts) -> torch.Tensor:  # Any: a transformers model
    """The usual form: logits at every position, labels of -100 on the prompt."""
    labels = torch.full_like(batch.input_ids, -100)
    labels[:, -batch.labels.shape[1] :] = batch.labels
    logits = model(
        input_ids=batch.input_ids, attention_mask=batch.attention_mask, position_ids=batch.position_ids
    ).logits.float()
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")


def launch_ranks(settings: Settings, run_dir: Path) -> dict[str, float]:
    """`measure_on_ranks` under accelerate launch."""
    launcher = [sys.executable, "-m", "accelerate.commands.launch"]
    file = DS_CONFIGS / "accelerate_cpu.yaml"
    options = [f"--{key}={value}" for key, value in vars(settings).items()]
    subprocess.run(
        [*launcher, "--config_file", str(file), "--num_processes", str(settings.ranks), "-m", "bench.llm", *options,
         "--on-ranks", str(run_dir)],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    rates: dict[str, float] = read_json(run_dir / "rates.json")
    return rates


if __name__ == "__main__":
    main()
