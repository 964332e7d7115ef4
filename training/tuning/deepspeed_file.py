"""The DeepSpeed file that `llm.deepspeed` names: found and checked before anything heavy is imported.

What a file of a user's own leaves out is filled in like `"auto"`; what it says otherwise than the recipe is refused.
"""

import json
from pathlib import Path
from typing import Any

from launch.errors import InputError
from training.config import LlmConfig

DS_CONFIGS = Path(__file__).parents[2] / "ds_configs"
STAGES = (1, 2, 3)
GATHER = "stage3_gather_16bit_weights_on_model_save"
Settings = dict[str, Any]  # Any: plain JSON values
FILLED: Settings = {
    "train_micro_batch_size_per_gpu": "auto",
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
    "bf16": {"enabled": "auto"},
}


def read_deepspeed_file(config: LlmConfig) -> tuple[Path, Settings]:
    """Where it is and what it holds, with what a fine-tune by `config` needs beside; InputError where it cannot be."""
    path = find_deepspeed_file(config.deepspeed)
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(settings, dict) or not isinstance(settings.get("zero_optimization"), dict):
        raise InputError(f"{path}: a DeepSpeed file needs a section zero_optimization")
    problem = why_unusable(settings, config)
    if problem is not None:
        raise InputError(f"{path}: {problem}")
    return path, FILLED | {key: value for key, value in settings.items() if key != "train_batch_size"}


def why_unusable(settings: Settings, config: LlmConfig) -> str | None:
    """What of a DeepSpeed file would fail, hours later or in silence; None where nothing would."""
    zero = settings["zero_optimization"]
    if "optimizer" in settings or "scheduler" in settings:
        return "optimizer and scheduler come from the recipe (llm.lr ...); remove them here"
    stage = zero.get("stage")
    if isinstance(stage, bool) or stage not in STAGES:
        return f"zero_optimization.stage is {json.dumps(stage)}; write 3, 2 or 1"
    if stage == 3 and zero.get(GATHER) is not True:
        return f"zero_optimization.{GATHER} must be true, or the trained weights could not be saved; add it"
    offloaded = next((part for part in ("offload_param", "offload_optimizer") if _device(zero, part) is None), None)
    if offloaded is not None:
        return f'zero_optimization.{offloaded} must be like {{"device": "cpu"}}'
    if stage == 3 and config.lora.base != "whole":
        return f"it partitions weights (stage 3), and those of llm.lora.base={config.lora.base} cannot be; take zero2"
    if config.optimizer != "adamw" and offloads_optimizer(settings):
        return f"it offloads the optimizer, where DeepSpeed steps with its own: not llm.optimizer={config.optimizer}"
    for name in ("bf16", "fp16", "checkpoint"):
        if not isinstance(settings.get(name, {}), dict):
            return f"{name} must be a section"
    if settings.get("fp16", {}).get("enabled", False) is not False:
        return "fp16 is enabled; KinRec trains in bf16 or fp32 (llm.precision): remove the section fp16"
    if settings.get("checkpoint", {}).get("load_universal", False) is not False:
        return "checkpoint.load_universal: KinRec switches it on where another number of ranks goes on; remove it here"
    return _contradiction(settings, config)


def find_deepspeed_file(name: str) -> Path:
    """A path to a JSON file, or a name in ds_configs/."""
    path = Path(name) if name.endswith(".json") else DS_CONFIGS / f"{name}.json"
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in DS_CONFIGS.glob("*.json")))
        raise InputError(f"llm.deepspeed={name}: no such file; give a .json file or one of: {names}")
    return path


def offloads_optimizer(settings: Settings) -> bool:
    """Whether the optimizer's state lies in the memory of the machine, and its steps are taken there."""
    return _device(settings["zero_optimization"], "offload_optimizer") != "none"


def _contradiction(settings: Settings, config: LlmConfig) -> str | None:
    """What the file says otherwise than the recipe, which says it already."""
    if settings.get("gradient_accumulation_steps", "auto") != "auto":
        return (
            "gradient_accumulation_steps follows from llm.global_batch, llm.per_device_batch and the number of ranks; "
            'write "auto"'
        )
    precision = {"bf16": True, "fp32": False}.get(config.precision, "auto")
    recipe = {
        "train_batch_size": ("llm.global_batch", config.global_batch),
        "train_micro_batch_size_per_gpu": ("llm.per_device_batch", config.per_device_batch),
        "gradient_clipping": ("llm.clip_norm", config.clip_norm),
    }
    for key, (name, wanted) in recipe.items():
        given = settings.get(key, "auto")
        if given not in ("auto", wanted):
            return f'{key} is {json.dumps(given)}, {name} is {wanted}: write "auto" here and set {name}'
    enabled = settings.get("bf16", {}).get("enabled", "auto")
    if enabled not in ("auto", precision) or (precision == "auto" and enabled != "auto"):
        return (
            f'bf16.enabled is {json.dumps(enabled)}, llm.precision is {config.precision}: write "auto" here and set '
            "llm.precision"
        )
    return None


def _device(zero: Settings, part: str) -> str | None:
    """Where a part lies; None where the file does not say it in a way that can be read."""
    section = zero.get(part, {"device": "none"})
    device = section.get("device", "none") if isinstance(section, dict) else None
    return device if device in ("none", "cpu", "nvme") else None
