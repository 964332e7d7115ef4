"""Bounds of a recipe's values, beyond which a run never ends or fills the machine; the section's own checks are finer.

Every whole number of every section has a row here; a test fails for one that has not.
"""

import math
import re
from collections.abc import Iterable
from typing import Any

from launch.errors import InputError

MOST_NAME_CHARS = 100
MOST_SEED = 2**32 - 1  # scikit-learn takes no larger one
BILLION = 10**9
SEEDS = ("seed", "pair.split_seed", "pair.synthetic.seed")
MOST = {
    "launch.nodes": 4096,
    "launch.processes": 1024,
    "launch.threads": 4096,
    "launch.start_timeout": 604_800,
    "launch.step_timeout": 604_800,
    "pair.max_title_chars": 10**6,
    "pair.k_core": 10**6,
    "pair.min_interactions": 10**6,
    "pair.max_history": 100_000,
    "pair.min_history": 100_000,
    "pair.samples_per_user": 10**6,
    "pair.memory_gib": 100_000,
    "pair.llm_attributes.max_tokens": 100_000,
    "pair.llm_attributes.requests_per_minute": 10**7,
    "pair.llm_attributes.concurrency": 10_000,
    "pair.llm_attributes.retries": 1000,
    "pair.llm_attributes.timeout": 86_400,
    "pair.llm_attributes.batch_size": 100_000,
    "pair.synthetic.num_users": BILLION,
    "pair.synthetic.items_per_domain": 10**7,
    "pair.synthetic.mean_interactions": 100,
    "pair.synthetic.shard_users": BILLION,
    "pair.synthetic.workers": 4096,
    "graph.model.dim": 16_384,
    "graph.model.nearest": 100_000,
    "graph.model.attribute_dim": 16_384,
    "graph.model.layers": 64,
    "graph.model.blocks": 256,
    "graph.model.max_history": 100_000,
    "graph.model.window": 100_000,
    "graph.model.max_companions": 10**7,
    "graph.loss.predicted_positions": 100_000,
    "graph.loss.sampled_negatives": 10**7,
    "graph.loss.sampled_candidates": 10**7,
    "graph.loss.full_softmax_items": BILLION,
    "graph.schedule.epochs": 10_000,
    "graph.schedule.patience": 10_000,
    "graph.schedule.global_batch": 10**7,
    "graph.schedule.valid_samples": BILLION,
    "graph.schedule.checkpoint_every": BILLION,
    "graph.schedule.checkpoint_minutes": BILLION,
    "graph.list_depth": 100_000,
    "graph.held_out_lists": 10**12,
    "graph.train_lists": 10**12,
    "graph.encode_batch": 10**7,
    "graph.memory_gib": 100_000,
    "retrieval.num_neighbours": 10_000,
    "retrieval.recent_items": 100_000,
    "retrieval.block": 10**7,
    "retrieval.most_holders": BILLION,
    "retrieval.index.nlist": 10**7,
    "retrieval.index.nprobe": 10**7,
    "retrieval.index.pq_bytes": 1024,
    "retrieval.index.refine": 10_000,
    "retrieval.index.m": 1024,
    "retrieval.index.ef": 10**6,
    "retrieval.item_dim": 16_384,
    "retrieval.text_dim": 16_384,
    "retrieval.max_fit_rows": BILLION,
    "retrieval.quality_at": 10_000,
    "prompts.scratch_vocab": 10**6,
    "prompts.max_tokens": 10**6,
    "prompts.num_neighbours": 60,
    "prompts.vote_items": 1000,
    "prompts.max_history": 100_000,
    "prompts.neighbour_items": 100_000,
    "prompts.graph_candidates": 10_000,
    "prompts.vote_candidates": 10_000,
    "prompts.max_candidate_tokens": 100_000,
    "prompts.max_item_tokens": 100_000,
    "prompts.max_train_samples": 10**12,
    "prompts.num_workers": 1024,
    "llm.negatives": 10_000,
    "llm.epochs": 10_000,
    "llm.lr": 100,
    "llm.skip_spikes": 10**6,
    "llm.temperature": 10**6,
    "llm.max_steps": BILLION,
    "llm.global_batch": 10**6,
    "llm.per_device_batch": 10**6,
    "llm.eval_every": BILLION,
    "llm.patience": BILLION,
    "llm.eval_samples": 10**12,
    "llm.checkpoint_every": BILLION,
    "llm.checkpoint_minutes": BILLION,
    "llm.log_every": BILLION,
    "llm.scratch.hidden_size": 32_768,
    "llm.scratch.num_layers": 512,
    "llm.scratch.num_heads": 1024,
    "llm.scratch.intermediate_size": 262_144,
    "llm.lora.rank": 16_384,
    "generation.prior_weight": 100,
    "generation.num_beams": 500,
    "generation.max_new_tokens": 10_000,
    "generation.token_margin": 10_000,
    "generation.list_depth": 100_000,
    "generation.batch_tokens": BILLION,
    "generation.part_batches": 10**6,
    "generation.max_samples": 10**12,
    "evaluation.list_depth": 100_000,
    "evaluation.refine_top": 10_000,
    "evaluation.bootstrap_resamples": 10**6,
    "evaluation.ridge_max_users": 10**7,
    "evaluation.ranker_samples": BILLION,
    "evaluation.ranker_depth": 10_000,
    "evaluation.tuning_samples": BILLION,
    "evaluation.tuning_users": BILLION,
    "evaluation.side_users": BILLION,
    "evaluation.candidate_depth": 100_000,
    "evaluation.max_samples": 10**12,
} | dict.fromkeys(SEEDS, MOST_SEED)
JOBS = ("prepare", "pretrain", "retrieve", "tokenize", "finetune", "generate", "evaluate")
for job in ("slurm", "slurm.cpu", *(f"slurm.stages.{name}" for name in JOBS)):
    MOST |= {f"{job}.gpus": 1024, f"{job}.cpus": 4096, f"{job}.signal_seconds": 65_535}
MOST |= {f"slurm.stages.{name}.nodes": 4096 for name in JOBS}


def check_values(values: Iterable[tuple[str, Any]]) -> None:  # Any: whatever a field holds
    """Refuse the first value, by its dotted name, that is no finite number, no seed, or beyond its bound."""
    for name, value in values:
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, float) and not math.isfinite(number):
                raise InputError(f"{name} must be a finite number, got {number}")
            if isinstance(number, str) and "\0" in number:
                raise InputError(f"{name} holds a zero character")
            if isinstance(number, (int, float)) and name in MOST and number > MOST[name]:
                raise InputError(f"{name} must be at most {MOST[name]}, got {number}")
            if isinstance(number, int) and name in SEEDS and number < 0:
                raise InputError(f"{name} must not be negative, got {number}")


def check_name(name: str) -> None:
    """Refuse a recipe's name that cannot name a folder below runs/."""
    if not name.strip() or name != name.strip():
        raise InputError(f"name must be a word, got {name!r}")
    if re.search(r"[/\\\x00-\x1f\x7f-\x9f\u2028\u2029]", name) or name.startswith(".") or not name.isprintable():
        raise InputError(f"name must be one folder's name without slashes, leading dot or control signs, got {name!r}")
    if len(name.encode("utf-8", errors="replace")) > MOST_NAME_CHARS:
        raise InputError(f"name must have at most {MOST_NAME_CHARS} bytes, got {len(name)} characters")
