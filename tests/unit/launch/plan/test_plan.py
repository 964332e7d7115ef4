"""Estimates by hand-worked numbers, their warnings, what is asked where nobody knows how much data there is."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation.list_ranker.blocks import make_blocks
from evaluation.plan.evaluate import plan_evaluate
from graph.plan import encoders
from graph.plan.encoders import left_out_blocks
from graph.plan.pretrain import plan_pretrain
from launch.ablation.parts import parts_named, words_of
from launch.config import Recipe, find_recipe, load_recipe
from launch.errors import InputError
from launch.plan.command import estimate_stages, plan
from launch.plan.counts import PairSizes, guessed, of_card, read_counts
from launch.plan.estimates import GIB, MIB, Estimate, Machine, Setting, total
from launch.plan.machines import machine_of
from pairs.tables import Samples
from retrieval.plan.retrieve import plan_retrieve
from training.config import ScratchConfig
from training.plan.memory import Load, engine_of, logit_bytes, peak_parts, token_bytes
from training.plan.shapes import Shape, of_config, of_scratch
from training.scratch import build_model

LLAMA_7B = {
    "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
    "intermediate_size": 11008, "vocab_size": 32000, "tie_word_embeddings": False,
}  # fmt: skip
QWEN_70B = {
    "model_type": "qwen2", "hidden_size": 8192, "num_hidden_layers": 80, "num_attention_heads": 64,
    "num_key_value_heads": 8, "intermediate_size": 29568, "vocab_size": 152064, "tie_word_embeddings": False,
}  # fmt: skip

ATTENTION = words_of(parts_named("late_interaction")[0].off)


def base(folder: Path, config: dict[str, object]) -> str:
    """A model folder that holds nothing but its configuration."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return f"--prompts.base={folder}"


def finetune_of(recipe: Recipe, run_dir: Path, *, nodes: int = 8, processes: int = 8, gpu: float = 80) -> Estimate:
    machine = machine_of(recipe, nodes, processes, gpu, None)
    counts = guessed(1000, 500, 12_000, "given")
    estimates = estimate_stages(Setting(recipe, run_dir, counts, machine))
    return next(estimate for estimate in estimates if estimate.stage == "finetune")


def sizes(estimate: Estimate) -> dict[str, float]:
    return {part.name: part.size for part in estimate.memory}


def test_parameters_of_known_models() -> None:
    assert of_config(LLAMA_7B, where="x").parameters == 6_738_415_616  # as the publication's table has it
    assert of_config(QWEN_70B, where="x").parameters == pytest.approx(72.7e9, rel=0.001)


def test_parameters_of_a_scratch_model_are_those_that_are_built() -> None:
    import torch

    config = ScratchConfig(hidden_size=96, num_layers=3, num_heads=4, tie_embeddings=False)
    model = build_model(config, vocab_size=1000, eos=1, pad=0, max_tokens=64, seed=1, dtype=torch.float32)
    built = sum(parameter.numel() for parameter in model.parameters())
    assert of_scratch(config, 1000).parameters == built


def test_a_config_without_sizes_is_refused() -> None:
    with pytest.raises(InputError, match="does not say num_hidden_layers"):
        of_config({"hidden_size": 8}, where="prompts.base=x")


def test_zero3_divides_all_states_and_zero2_keeps_weights_whole() -> None:
    shape = of_config(LLAMA_7B, where="x")
    load = Load(rows=1, tokens=8, learnt=1, number=2, checkpointing=False, trained=shape.parameters, on_gpu=True)
    states = ("parameters", "master weights", "moments", "gradients")
    three = {part.name: part.size for part in peak_parts(shape, load, engine_of(_zero(3)), ranks=8)[0]}
    two = {part.name: part.size for part in peak_parts(shape, load, engine_of(_zero(2)), ranks=8)[0]}
    assert sum(three[name] for name in states) == pytest.approx(18 * shape.parameters / 8)
    assert sum(two[name] for name in states) == pytest.approx((2 + 16 / 8) * shape.parameters)


def test_offload_moves_states_to_the_host() -> None:
    shape = of_config(LLAMA_7B, where="x")
    load = Load(rows=1, tokens=8, learnt=1, number=2, checkpointing=False, trained=shape.parameters, on_gpu=True)
    away = {"offload_optimizer": {"device": "cpu"}, "offload_param": {"device": "cpu"}}
    device, host = peak_parts(shape, load, engine_of(_zero(3, **away)), ranks=8)
    assert {part.name for part in device} == {"gathered layers", "activations", "logits"}
    assert total(host) == pytest.approx(18 * shape.parameters / 8 + 4 * shape.parameters / 8)


def test_activations_of_a_token_by_hand() -> None:
    shape = Shape(hidden=256, layers=6, heads=4, kv_heads=4, head_dim=64, inner=704, vocabulary=2048, tied=True)
    assert token_bytes(shape, 4) == 4 * (10 * 256 + 4 * 704)  # seen saved for the backward pass of one such layer
    assert token_bytes(shape, 2) == 24 * 256 + 8 * 704
    load = Load(rows=8, tokens=768, learnt=16, number=4, checkpointing=False, trained=1, on_gpu=False)
    # 128 learnt tokens fit into one chunk: scores and exponentials. Only adapters learn here (trained=1).
    assert logit_bytes(shape, load) == 8 * 8 * 16 * 2048
    whole = replace(load, trained=shape.parameters, learnt=767, number=2)
    assert (
        logit_bytes(shape, whole) == 10 * 4096 * 2048 + 6 * 2048 * 256
    )  # a chunk of 2**23 scores; bf16 and fp32 table
    assert logit_bytes(replace(shape, plain_head=False), load) == 12 * 8 * 17 * 2048


def test_7b_on_64_gpus_fits_with_less_traffic_than_its_recipe(tmp_path: Path) -> None:
    recipe = load_recipe(find_recipe("art_office"), ["--pair.path=x", base(tmp_path / "base", LLAMA_7B)])
    estimate = finetune_of(recipe, tmp_path / "run")
    fits = {choice.name: choice.fits for choice in estimate.choices}
    assert fits["zero3"]
    assert fits["zero2"]
    assert estimate.rank_memory < 20 * GIB
    assert estimate.advice == []


def test_70b_on_8_gpus_needs_offload_and_host_memory(tmp_path: Path) -> None:
    recipe = load_recipe(find_recipe("art_office"), ["--pair.path=x", base(tmp_path / "base", QWEN_70B)])
    estimate = finetune_of(recipe, tmp_path / "run", nodes=1)
    fits = {choice.name: choice.fits for choice in estimate.choices}
    assert not fits["zero3"]
    assert not fits["zero2"]
    assert fits["zero3_offload"]
    assert any("llm.deepspeed=zero3 does not fit; zero3_offload does" in line for line in estimate.advice)
    assert any("the first node needs 135 GiB of host memory" in line for line in estimate.advice)


def test_ranks_that_would_idle_are_told(tmp_path: Path) -> None:
    recipe = load_recipe(find_recipe("demo"), ["--launch.processes=8"])
    estimate = finetune_of(recipe, tmp_path, gpu=0)  # global_batch 32
    assert any(line.startswith("32 of 64 ranks would idle: llm.global_batch is 32") for line in estimate.advice)


def test_unknown_data_is_asked_for_and_given_counts_are_taken(tmp_path: Path) -> None:
    recipe = load_recipe(find_recipe("art_office"), [f"--pair.path={tmp_path}"])
    with pytest.raises(InputError, match="--users=N --items=N"):
        read_counts(recipe, tmp_path, users=None, items=None, interactions=None)
    counts = read_counts(recipe, tmp_path, users=100, items=50, interactions=None)
    assert (counts.users, counts.items, counts.interactions) == (100, 50, 1200)


def test_a_prepared_pair_says_its_own_counts(tmp_path: Path) -> None:
    card = tmp_path / "pair" / "card.json"
    card.parent.mkdir()
    split = {"train": {"all": 400}, "valid": {"all": 30}, "test": {"all": 20}}
    told = {"users": {"all": 240}, "items": {"X": 80, "Y": 81}, "samples": split, "interactions": split}
    taught = {"graph_only_users": 70, "graph_only_interactions": 500}
    card.write_text(json.dumps(told), encoding="utf-8")
    counts = of_card(card)
    assert (counts.users, counts.items, counts.interactions, counts.train, counts.held_out) == (240, 161, 450, 400, 50)
    assert (counts.kindred, counts.teachers, counts.taught) == (400, 240, 450)
    card.write_text(json.dumps(told | taught), encoding="utf-8")
    counts = of_card(card)
    assert (counts.kindred, counts.teachers, counts.taught) == (470, 310, 950)
    card.write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="not the card of a pair"):
        of_card(card)


def test_every_stage_has_an_estimate(tmp_path: Path) -> None:
    recipe = load_recipe(find_recipe("demo"), [])
    counts = read_counts(recipe, tmp_path, users=None, items=None, interactions=None)
    estimates = estimate_stages(Setting(recipe, tmp_path, counts, machine_of(recipe, None, None, 0, None)))
    names = ["prepare", "pretrain", "retrieve", "tokenize", "finetune", "generate", "evaluate"]
    assert [estimate.stage for estimate in estimates] == names
    assert all(total(estimate.disk) > 0 for estimate in estimates)


def test_a_stage_that_does_not_fit_is_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "art_office",
        "--pair.path=x",
        base(tmp_path / "base", QWEN_70B),
        f"--run_dir={tmp_path}",
        "--no-deepspeed",
    ]
    data = ["--users=1000", "--items=500"]
    assert plan([*words, *data, "--nodes=1", "--processes=8", "--gpu-memory=80"]) == 1
    said = capsys.readouterr().out
    assert "zero3                                    " in said
    assert "does not fit, the recipe's" in said
    assert "warning: llm.deepspeed=zero3 does not fit; zero3_offload does" in said
    assert plan([*words, *data, "--nodes=32", "--processes=8", "--gpu-memory=192"]) == 0


def pretrain_of(*overrides: str, held_out: int = 3200) -> Estimate:
    """Of the pair that late interaction was measured on, but for its valid and test."""
    recipe = load_recipe(find_recipe("demo"), ["--launch.processes=1", *overrides])
    counts = PairSizes(9600, 38_000, 9600 * 14, 16_000, held_out, "given")
    machine = machine_of(recipe, 1, 1, 0, None)
    return plan_pretrain(Setting(recipe, Path("run"), counts, machine))


def test_users_of_one_domain_are_planned_for() -> None:
    """As keys, in tables and graphs, and as sales; nobody asks for them. Here they are ten in eleven of the users."""
    recipe = load_recipe(find_recipe("demo"), ["--launch.processes=1"])
    machine = machine_of(recipe, 1, 1, 0, None)
    alone = PairSizes(9600, 38_000, 9600 * 14, 16_000, 3200, "given")
    beside = replace(alone, one_domain=96_000, of_one_domain=96_000 * 14)
    grown: dict[str, float] = {}
    for of_stage in (plan_pretrain, plan_retrieve, plan_evaluate):
        least, most = (of_stage(Setting(recipe, Path("run"), counts, machine)) for counts in (alone, beside))
        parts = zip([*least.memory, *least.host], [*most.memory, *most.host], strict=True)
        grown |= {one.name: other.size / one.size for one, other in parts if other.size != one.size}
    by_purchases = ("what sold when", "counting companions, on the first rank", "who holds what", "who bought what")
    assert {name: grown.pop(name) for name in by_purchases} == pytest.approx(dict.fromkeys(by_purchases, 11))
    assert grown.pop("items of the same users") == pytest.approx(11)
    assert grown.pop("keys of this rank's shard") == (16_000 + 96_000) / 16_000
    assert 1 < grown.pop("factorising, on the first rank") < 11
    assert 1 < grown.pop("samples and keys") < 11
    assert grown == {}


def test_who_has_no_lists_is_planned_no_kindred_users_and_no_prompts() -> None:
    def planned(*overrides: str) -> dict[str, Estimate]:
        recipe = load_recipe(find_recipe("demo"), ["--launch.processes=1", *overrides])
        counts = PairSizes(9600, 38_000, 9600 * 14, 16_000, 4000, "given")
        machine = machine_of(recipe, 1, 1, 0, None)
        return {estimate.stage: estimate for estimate in estimate_stages(Setting(recipe, Path("run"), counts, machine))}

    whole, some = planned(), planned("--graph.train_lists=1000")
    disk = {name: [{part.name: part.size for part in stages[name].disk} for stages in (whole, some)] for name in whole}
    assert [part["lists of train"] for part in disk["pretrain"]] == [16 * disk["pretrain"][1]["lists of train"], 1.6e6]
    for stage, part in (("retrieve", "neighbours"), ("tokenize", "prompts, at most")):
        assert disk[stage][0][part] == 4 * disk[stage][1][part]
    assert planned("--graph.train_lists=20000") == whole
    attention = ("--graph.model.evidence=false", "--graph.loss.fused_weight=0")
    assert planned("--graph.train_lists=1000", *attention) == planned(*attention), "without evidence there are none"


def test_late_interaction_needs_what_was_measured() -> None:
    estimate = pretrain_of()
    memory, host = sizes(estimate), {part.name: part.size for part in estimate.host}
    assert memory["item tables"] == 3 * 38_000 * 512
    assert host["text vectors"] == 4 * 38_000 * 512
    pairs = 1_560_213 + 1_553_740 + 1_560_300 + 1_560_271 + 1_524_232 + 1_536_124 + 1_535_474 + 1_533_931
    assert memory["what is near in left-out blocks"] == pytest.approx(10 * pairs, rel=0.25)
    assert memory["a search for that"] == pytest.approx(185 * MIB, rel=0.1)
    assert host["factorising, on the first rank"] == pytest.approx(302 * MIB, rel=0.05)
    steps = 4 * 16_000 // 64 * 0.15
    judged = 3.5 * 38_000 * (1 - math.exp(-3200 * 14 / 38_000)) / 5932
    assert estimate.seconds == pytest.approx(5 * 8.2 + 4 * 4.8 + judged + steps, rel=0.2)


def test_attention_needs_no_tables_to_vote_with() -> None:
    memory = sizes(pretrain_of(*ATTENTION))
    assert memory["item tables"] == 4 * 38_000 * (3 * 64 + 32)
    assert memory["propagated tables"] == 2 * memory["item tables"]
    assert not [name for name in memory if "near" in name]


@pytest.mark.parametrize(
    ("overrides", "width"),
    [([], 3 * 64), (["--graph.model.dim=40"], 3 * 40), (ATTENTION, 2 * 64)],
)
def test_user_vectors_are_as_wide_as_their_encoders_make_them(overrides: list[str], width: int) -> None:
    disk = {part.name: part.size for part in pretrain_of(*overrides).disk}
    assert disk["user vectors"] == 4 * 2 * width * (16_000 + 3200)
    recipe = load_recipe(find_recipe("demo"), ["--retrieval.vectors=model", *overrides])
    counts = PairSizes(9600, 38_000, 9600 * 14, 16_000, 3200, "given")
    retrieved = plan_retrieve(Setting(recipe, Path("run"), counts, machine_of(recipe, 1, 1, 0, None)))
    assert sizes(retrieved)["keys of this rank's shard"] == 4 * width * 16_000


def test_a_search_is_as_large_as_it_is_made() -> None:
    from graph.late import nearest

    made = (nearest.ITEMS_AT_ONCE, nearest.CELLS_AT_ONCE)
    assert made == (encoders.ITEMS_AT_ONCE, encoders.CELLS_AT_ONCE)


@pytest.mark.parametrize("users", [100, 9600, 200_000])
def test_blocks_are_those_that_are_made(users: int) -> None:
    rows = np.repeat(np.arange(users), 2)
    one = np.ones_like(rows)
    train = Samples(np.arange(len(rows)), rows, one, one, one, np.arange(len(rows) + 1), None, None)
    made = make_blocks(train, seed=0, chronological=False)
    planned, users_of_block = left_out_blocks(PairSizes(users, 10, 10, len(rows), 0, "given"))
    assert planned == len(made)
    assert 2 * users_of_block == pytest.approx(len(made[0].asked), abs=2)


def test_a_machine_is_as_it_is_said() -> None:
    recipe = load_recipe(find_recipe("books_movies"), [])
    machine: Machine = machine_of(recipe, None, None, 80, None)
    assert (machine.nodes, machine.processes, machine.ranks) == (8, 8, 64)


@pytest.mark.parametrize("word", ["--gpu-memory=nan", "--gpu-memory=-1", "--tflops=nan", "--users=-5", "--nodes=0"])
def test_a_machine_or_a_pair_that_cannot_be_is_refused(tmp_path: Path, word: str) -> None:
    with pytest.raises(InputError, match=word[: word.index("=")]):
        plan(["demo", f"--run_dir={tmp_path}", "--no-deepspeed", word])


def _zero(stage: int, **more: object) -> dict[str, object]:
    return {"zero_optimization": {"stage": stage, **more}}


@pytest.mark.parametrize(
    ("words", "part", "left"),
    [
        (["--llm.optimizer=adamw_8bit"], "moments", 2 / 8),
        (["--llm.deepspeed=zero2", "--llm.lora.enabled=true", "--llm.lora.base=nf4"], "parameters", None),
    ],
)
def test_fewer_bits_are_planned_for(tmp_path: Path, words: list[str], part: str, left: float | None) -> None:
    """And files of ds_configs/ under which the recipe could not be trained are no choice."""
    plain = [word for word in words if "optimizer" not in word and "nf4" not in word]
    folder = base(tmp_path / "llama", LLAMA_7B)
    few, whole = (
        finetune_of(load_recipe(find_recipe("art_office"), [folder, *given]), tmp_path) for given in (words, plain)
    )
    linear = 32 * (4 * 4096 * 4096 + 3 * 4096 * 11008)
    expected = sizes(whole)[part] * left if left else sizes(whole)[part] - (2 - 0.52) * linear
    assert sizes(few)[part] == pytest.approx(expected, rel=1e-6)
    names = {choice.name.partition(" ")[0] for choice in few.choices}
    assert names < {choice.name.partition(" ")[0] for choice in whole.choices}
    assert "zero3_offload" not in names
    if left is None:
        assert names == {"zero2"}
        assert sum(need.size for need in few.host if "4 bits" in need.name) == pytest.approx(8 * 2 * 6.74e9, rel=0.01)
