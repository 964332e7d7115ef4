"""The DeepSpeed file that `llm.deepspeed` names: found and checked before anything heavy is imported."""

import json
from pathlib import Path
from typing import Any

from launch.errors import InputError

DS_CONFIGS = Path(__file__).parents[2] / "ds_configs"


def read_deepspeed_file(name: str) -> tuple[Path, dict[str, Any]]:  # Any: plain JSON values
    """Where it is and what it holds; InputError where it is missing or says what the recipe says."""
    path = find_deepspeed_file(name)
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(settings, dict) or not isinstance(settings.get("zero_optimization"), dict):
        raise InputError(f"{path}: a DeepSpeed file needs a section zero_optimization")
    if "optimizer" in settings or "scheduler" in settings:
        raise InputError(f"{path}: optimizer and scheduler come from the recipe (llm.lr ...); remove them here")
    return path, settings


def find_deepspeed_file(name: str) -> Path:
    """A path to a JSON file, or a name in ds_configs/."""
    path = Path(name) if name.endswith(".json") else DS_CONFIGS / f"{name}.json"
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in DS_CONFIGS.glob("*.json")))
        raise InputError(f"llm.deepspeed={name}: no such file; give a .json file or one of: {names}")
    return path
