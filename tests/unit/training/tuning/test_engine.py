"""The engine's settings, the schedule, LoRA's merge: all that can be checked without ranks."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from launch.distributed import World
from launch.errors import InputError
from training.config import LlmConfig, LoraConfig, ScratchConfig
from training.prompts.config import PromptsConfig
from training.saved.tuned_weights import add_adapters, merge_adapters
from training.scratch import build_model
from training.tuning.deepspeed_file import DS_CONFIGS
from training.tuning.engine import accumulation_steps, deepspeed_settings
from training.tuning.optimizer import count_steps, learning_rate

CONFIG = LlmConfig(lr=1.0, warmup_ratio=0.1, min_lr_ratio=0.2, global_batch=32, per_device_batch=4)


def world(size: int = 2, device: str = "cpu") -> World:
    return World(rank=0, size=size, local_rank=0, device=torch.device(device))


@pytest.mark.parametrize("name", [file.stem for file in sorted(DS_CONFIGS.glob("*.json"))])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_deepspeed_file_is_filled_in(name: str, device: str) -> None:
    config = replace(CONFIG, deepspeed=name, clip_norm=0.7)
    settings = deepspeed_settings(config, world(device=device), hidden_size=256)
    assert '"auto"' not in json.dumps(settings)
    assert settings["gradient_clipping"] == 0.7
    assert settings["gradient_accumulation_steps"] == 4
    assert settings["bf16"] == {"enabled": True}
    assert settings["zero_optimization"]["stage"] == (2 if name == "zero2" else 3)


@pytest.mark.parametrize(
    ("name", "stage", "offload"),
    [("zero2", 2, None), ("zero3", 3, None), ("zero3_multinode", 3, None), ("zero3_offload", 3, "cpu")],
)
def test_every_deepspeed_file_does_what_its_name_says(name: str, stage: int, offload: str | None) -> None:
    settings = deepspeed_settings(replace(CONFIG, deepspeed=name), world(device="cuda"), hidden_size=256)
    zero = settings["zero_optimization"]
    assert zero["stage"] == stage
    for part in ("offload_optimizer", "offload_param"):
        assert zero.get(part) == (None if offload is None else {"device": offload, "pin_memory": True})


@pytest.mark.parametrize("file", sorted(DS_CONFIGS.glob("*.yaml")), ids=lambda file: str(file.stem))
def test_accelerate_files_leave_deepspeed_to_the_recipe(file: Path) -> None:
    settings = yaml.safe_load(file.read_text())
    assert settings["distributed_type"] == "DEEPSPEED"
    assert set(settings["deepspeed_config"]) <= {"deepspeed_multinode_launcher"}
    assert "mixed_precision" not in settings
    assert settings["use_cpu"] is False, "it would switch DeepSpeed off, on CPUs as well"


def own_file(folder: Path, settings: dict[str, object] | str) -> LlmConfig:
    """A recipe's section with a DeepSpeed file of the user's own."""
    (folder / "own.json").write_text(settings if isinstance(settings, str) else json.dumps(settings))
    return replace(CONFIG, deepspeed=str(folder / "own.json"))


ZERO3 = {"stage": 3, "stage3_gather_16bit_weights_on_model_save": True}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("{", "not valid JSON"),
        ({}, "needs a section zero_optimization"),
        ({"zero_optimization": 3}, "needs a section zero_optimization"),
        ({"zero_optimization": {"stage": 2, "x": "auto"}}, 'zero_optimization.x is "auto"'),
        ({"zero_optimization": {"stage": 2}, "optimizer": {}}, "come from the recipe"),
        ({"zero_optimization": {}}, "zero_optimization.stage is null; write 3, 2 or 1"),
        ({"zero_optimization": {"stage": 4}}, "zero_optimization.stage is 4"),
        ({"zero_optimization": {"stage": "3"}}, 'zero_optimization.stage is "3"'),
        ({"zero_optimization": {"stage": True}}, "zero_optimization.stage is true"),
        ({"zero_optimization": {"stage": 3}}, "stage3_gather_16bit_weights_on_model_save must be true"),
        ({"zero_optimization": {**ZERO3, "offload_param": "cpu"}}, 'offload_param must be like {"device": "cpu"}'),
        ({"zero_optimization": ZERO3, "bf16": True}, "bf16 must be a section"),
        ({"zero_optimization": ZERO3, "fp16": {"enabled": True}}, "fp16 is enabled"),
        ({"zero_optimization": ZERO3, "bf16": {"enabled": False}}, "bf16.enabled is false, llm.precision is bf16"),
        ({"zero_optimization": ZERO3, "train_batch_size": 64}, "train_batch_size is 64, llm.global_batch is 32"),
        ({"zero_optimization": ZERO3, "train_micro_batch_size_per_gpu": 8}, "llm.per_device_batch is 4"),
        ({"zero_optimization": ZERO3, "gradient_accumulation_steps": 4}, 'the number of ranks; write "auto"'),
        ({"zero_optimization": ZERO3, "gradient_clipping": 0.3}, "llm.clip_norm is 1.0"),
        ({"zero_optimization": ZERO3, "checkpoint": {"load_universal": True}}, "checkpoint.load_universal"),
        ({"zero_optimization": {**ZERO3, "zero_hpz_partition_size": 3}}, "which does not divide 2 ranks"),
    ],
)
def test_a_file_of_ones_own_is_checked(tmp_path: Path, settings: dict[str, object] | str, says: str) -> None:
    config = own_file(tmp_path, settings)
    with pytest.raises(InputError) as refused:
        deepspeed_settings(config, world(), hidden_size=8)
    assert str(refused.value).startswith(str(tmp_path / "own.json"))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unknown_name_is_refused_with_those_that_are_there() -> None:
    with pytest.raises(InputError, match=r"one of: zero2, zero3, zero3_multinode, zero3_offload"):
        deepspeed_settings(replace(CONFIG, deepspeed="zero9"), world(), hidden_size=8)


def test_what_a_file_of_ones_own_leaves_out_is_filled_in(tmp_path: Path) -> None:
    settings = deepspeed_settings(
        own_file(tmp_path, {"zero_optimization": ZERO3, "train_batch_size": 32}), world(), hidden_size=8
    )
    assert settings == {
        "zero_optimization": ZERO3,
        "train_micro_batch_size_per_gpu": 4,
        "gradient_accumulation_steps": 4,
        "gradient_clipping": 1.0,
        "bf16": {"enabled": True},
    }


@pytest.mark.parametrize(("ranks", "node", "group"), [(16, 8, 8), (8, 8, 1), (2, 1, 1), (1, 1, 1)])
def test_weights_are_kept_once_a_node_on_several_nodes(
    monkeypatch: pytest.MonkeyPatch, ranks: int, node: int, group: int
) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(node))
    settings = deepspeed_settings(replace(CONFIG, deepspeed="zero3_multinode"), world(ranks), hidden_size=8)
    assert settings["zero_optimization"]["zero_hpz_partition_size"] == group


@pytest.mark.parametrize(("size", "steps"), [(1, 8), (2, 4), (3, 3), (8, 1), (16, 1)])
def test_ranks_accumulate_up_to_the_global_batch(size: int, steps: int) -> None:
    assert accumulation_steps(CONFIG, size) == steps


def test_the_rate_warms_up_and_ends_at_its_floor() -> None:
    rates = [learning_rate(step, 100, CONFIG) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert max(rates) == rates[10] == 1.0
    assert rates[55] == pytest.approx(0.6)
    assert 0.2 < rates[-1] < 0.21
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_steps_follow_epochs_unless_bounded() -> None:
    assert count_steps(replace(CONFIG, epochs=1.5), 10) == 15
    assert count_steps(replace(CONFIG, epochs=1.5, max_steps=7), 10) == 7
    assert count_steps(replace(CONFIG, epochs=1.5, max_steps=70), 10) == 15


def test_our_merge_of_adapters_is_that_of_peft() -> None:
    sizes = ScratchConfig(hidden_size=32, num_layers=2, num_heads=2)
    base = build_model(sizes, vocab_size=64, eos=1, pad=0, max_tokens=32, seed=1, dtype=torch.float32)
    config = LoraConfig(enabled=True, rank=4, alpha=6.0, target_modules=["q_proj", "down_proj"])
    adapted = add_adapters(base, config)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:  # zero at first, which would merge nothing
            torch.nn.init.normal_(parameter)
    ours = merge_adapters({name: value.clone() for name, value in adapted.state_dict().items()}, scale=6.0 / 4)
    theirs = adapted.merge_and_unload().state_dict()  # type: ignore[operator]  # peft is untyped
    assert set(ours) == set(theirs)
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name])


def test_unknown_adapter_targets_are_refused() -> None:
    base = build_model(
        ScratchConfig(hidden_size=32, num_layers=1, num_heads=2),
        vocab_size=64, eos=1, pad=0, max_tokens=32, seed=1, dtype=torch.float32,
    )  # fmt: skip
    with pytest.raises(InputError, match=r"llm\.lora\.target_modules"):
        add_adapters(base, LoraConfig(enabled=True, target_modules=["nothing"]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PromptsConfig(max_tokens=0), "prompts.max_tokens must be at least 1, got 0"),
        (lambda: PromptsConfig(base=" "), "prompts.base must name"),
        (lambda: LlmConfig(lr=-1), "llm.lr must be positive, got -1"),
        (lambda: LlmConfig(warmup_ratio=2), "llm.warmup_ratio must be in"),
        (lambda: LlmConfig(twins=True, per_device_batch=3), "got write, 3 and 32"),
        (lambda: LlmConfig(twins=True, global_batch=7), "got write, 8 and 7"),
        (lambda: LlmConfig(twins=True, task="rank"), "llm.twins=true needs llm.task=write and even numbers"),
        (lambda: LoraConfig(rank=0), "llm.lora.rank must be at least 1, got 0"),
        (lambda: ScratchConfig(hidden_size=30, num_heads=4), "llm.scratch.hidden_size must be a multiple"),
    ],
)
def test_a_wrong_value_is_named_by_its_key(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
