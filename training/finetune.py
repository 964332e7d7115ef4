"""Fine-tune the language model on the prompts, its weights, gradients and optimizer sharded over the ranks.

accelerate launch --config_file ds_configs/accelerate_cpu.yaml -m training.finetune --config launch/recipes/demo.yaml
"""

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from launch.artifacts import read_json, write_json
from launch.distributed import World, init_world
from launch.stage import entry_point, open_stage, parse_job
from launch.tracking import Tracker, open_tracker
from pairs.tables import Ints, Split, load_samples
from training.base_files import BaseModel, base_of_run
from training.base_model import hidden_size_of, load_model, load_tokenizer_folder
from training.config import LlmConfig, Precision
from training.lessons.batches import Data, PromptData, learn_items, learn_whole_prompts, read_prompts
from training.lessons.list_data import ListData, read_lists_to_learn
from training.lessons.twins import ALONE, with_twins
from training.precision import DTYPES, resolve_precision
from training.ranking.taught import taught_prior_weight
from training.saved.four_bits import to_four_bits
from training.saved.tuned_weights import add_adapters, publish
from training.scratch import build_model
from training.tuning.engine import build_accelerator, count_parameters, wrap
from training.tuning.fit import fit
from training.tuning.guards import check_counts
from training.tuning.layers import attention_for, decoder_layers, set_attention, use_liger, whole_size

log = logging.getLogger(__name__)
LEARNT: tuple[Split, Split] = ("train", "valid")


@entry_point
def main(argv: list[str] | None = None) -> None:
    job = parse_job(LlmConfig, "finetune", argv)
    with init_world() as world, open_stage(job, world), open_tracker(job, world) as tracker:
        base = base_of_run(job.run_dir, job.sections["prompts"])
        finetune(job.config, base=base, run_dir=job.run_dir, seed=job.seed, world=world, tracker=tracker)
        if base.path is not None:
            job.external.append(base.path)


def finetune(config: LlmConfig, *, base: BaseModel, run_dir: Path, seed: int, world: World, tracker: Tracker) -> None:
    """Write llm/model and llm/engine.json."""
    meta = read_json(run_dir / "prompts" / "meta.json")
    folder = run_dir / "llm"
    if world.broadcast_object((folder / "model").is_dir()):
        log.info("%s is complete: an earlier start was stopped after writing it", folder / "model")
        return
    config = replace(config, precision=choose_precision(config, folder, world))
    tokenizer = load_tokenizer_folder(run_dir / "prompts" / "tokenizer", base=base)
    train, valid = (read_lessons(run_dir, split, config, tokenizer, seed=seed) for split in LEARNT)
    valid_lists: ListData | None = None
    if config.task == "write" and config.judge == "auc":
        valid_lists = read_lists_to_learn(run_dir, "valid", config, tokenizer=tokenizer, seed=seed)
    check_counts(samples=len(train), ranks=world.size, global_batch=config.global_batch, together=config.together)
    # Small ones are whole on every rank at first; a model folder is partitioned while it is read.
    model = None if base.kind == "folder" else make_small_model(base, config, tokenizer, meta["max_tokens"], seed=seed)
    hidden_size = hidden_size_of(base) if model is None else int(model.config.hidden_size)
    accelerator = build_accelerator(config, world, hidden_size=hidden_size)
    model = load_model(base, dtype=DTYPES[config.precision], world=world) if model is None else model
    set_attention(model, attention_for(config, world.device), world.device, config.precision)
    if config.liger:
        use_liger(model, world.device)
    tuning = wrap(accelerator, ready_to_train(model, config, seed=seed, device=world.device), config)
    _report_shares(tuning.model.module, config, run_dir, world)
    torch.manual_seed(seed * 1_000_003 + world.rank)  # dropout differs between ranks
    weights = fit(
        tuning, config, accelerator=accelerator, train=train, valid=valid, valid_lists=valid_lists,
        pad=tokenizer.pad_token_id, folder=folder / "checkpoints", seed=seed, world=world, tracker=tracker,
    )  # fmt: skip
    publish(folder / "model", weights=weights, tokenizer=tokenizer, world=world)
    if world.is_main:
        shutil.rmtree(folder / "checkpoints")  # many times the size of the model, and of no further use


def read_lessons(run_dir: Path, split: Split, config: LlmConfig, words: PreTrainedTokenizerBase, *, seed: int) -> Data:
    """What is learnt of a split, or measured: answers, or lists of candidates."""
    if config.task != "write":
        return read_lists_to_learn(run_dir, split, config, tokenizer=words, seed=seed)
    prompts = read_prompts(run_dir, split, items=config.learn == "items")
    if split != "train":
        return prompts
    wider = {"prompt": learn_whole_prompts, "items": learn_items}.get(config.learn)
    prompts = wider(prompts) if wider is not None else prompts
    if not config.twins:
        return prompts
    twins = with_twins(prompts, users_of(prompts, run_dir))
    log.info(
        "%d of %d prompts are read with their twin: %.2f times fewer tokens",
        int((twins.twin != ALONE).sum()), len(twins), prompts.lengths.sum() / twins.lengths.sum(),
    )  # fmt: skip
    return twins


def users_of(prompts: PromptData, run_dir: Path) -> Ints:
    """[N] whose each train prompt is."""
    samples = load_samples(run_dir, "train")
    return samples.user[samples.row_of(np.asarray(prompts.dataset.data["sample"], dtype=np.int64))]


def choose_precision(config: LlmConfig, folder: Path, world: World) -> Precision:
    """Rank 0's choice, for all ranks alike. `auto` stays what it was where there are checkpoints to resume from."""

    def choose() -> Precision:
        if config.precision == "auto" and (folder / "checkpoints").is_dir() and (folder / "engine.json").is_file():
            kept: Precision = read_json(folder / "engine.json")["precision"]
            return kept
        return resolve_precision(config.precision, world.device)

    return world.ask_main(choose)


def make_small_model(
    base: BaseModel, config: LlmConfig, tokenizer: PreTrainedTokenizerBase, max_tokens: int, *, seed: int
) -> PreTrainedModel:
    """A scratch model or the weights of a GGUF file."""
    dtype = DTYPES[config.precision]
    if base.kind == "gguf":
        return load_model(base, dtype=dtype)
    return build_model(
        config.scratch, vocab_size=len(tokenizer), eos=tokenizer.eos_token_id, pad=tokenizer.pad_token_id,
        max_tokens=max_tokens, seed=seed, dtype=dtype,
    )  # fmt: skip


def ready_to_train(model: PreTrainedModel, config: LlmConfig, *, seed: int, device: torch.device) -> nn.Module:
    """The model as `config` asks for it: recomputed activations, adapters, weights in 4 bits beside them."""
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable(  # type: ignore[no-untyped-call]  # transformers leaves it untyped
            {"use_reentrant": False}
        )
    if not config.lora.enabled:
        return model
    if config.lora.base != "whole":
        to_four_bits(model, decoder_layers(model), device)
    torch.manual_seed(seed)  # the adapters start alike on every rank
    return add_adapters(model, config.lora)


def _report_shares(model: nn.Module, config: LlmConfig, run_dir: Path, world: World) -> None:
    """Say, in the log and in llm/engine.json, how the parameters are shared out."""
    whole, held = count_parameters(model)
    shares = [int(count) for count in world.gather_objects(held)]
    for rank, count in enumerate(shares if world.is_main else []):
        log.info(
            "%s: rank %d/%d holds %.1f %% of %s parameters",
            config.deepspeed, rank, world.size, 100 * count / whole, f"{whole:,}",
        )  # fmt: skip
    ranks_titles = config.task != "write" and config.score == "title"
    if world.is_main:
        trained = sum(whole_size(parameter) for parameter in model.parameters() if parameter.requires_grad)
        write_json(
            run_dir / "llm" / "engine.json",
            {
                "task": config.task,
                "score": config.score,
                "prior_weight": taught_prior_weight(config, run_dir) if ranks_titles else None,
                "deepspeed": config.deepspeed,
                "precision": config.precision,
                "world_size": world.size,
                "parameters": whole,
                "trained_parameters": trained,
                "held_by_rank": shares,
            },
        )


if __name__ == "__main__":
    main()
