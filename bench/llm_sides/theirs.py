"""Their side: transformers' Trainer as it comes, under the same DeepSpeed file."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import DataCollatorForSeq2Seq, Trainer, TrainerCallback, TrainingArguments

from bench.llm_sides.comparison import Comparison, Measured, fresh_model
from launch.distributed import World, join_alone
from training.base_model import load_tokenizer_folder
from training.lessons.batches import IGNORED, PromptData
from training.prompts.pieces import Ints
from training.tuning.engine import deepspeed_settings
from training.tuning.optimizer import BETAS


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
