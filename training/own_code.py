"""Code that came with a base model: a run keeps a copy of it beside the tuned model, and only that copy may run."""

from pathlib import Path

from launch.artifacts import read_json
from launch.errors import InputError

CONFIGS = ("config.json", "tokenizer_config.json")
ELSEWHERE = "--"
"""In an `auto_map`, what stands before it names another folder or repository whose code is run."""


def check_code(folder: Path, base: Path) -> None:
    """InputError unless every Python file of `folder` is one of `base`, byte for byte, and no other is named."""
    for file in sorted(folder.rglob("*.py")):
        original = base / file.relative_to(folder)
        if not original.is_file() or original.read_bytes() != file.read_bytes():
            raise InputError(
                f"{file}: {file.name} is not the code of the base model {base}, so it is not run; run "
                "`kinrec finetune` again"
            )
    for name in CONFIGS:
        if (folder / name).is_file() and ELSEWHERE in _named_code(folder / name):
            raise InputError(f"{folder / name}: names code of another folder, which is not run; remove its auto_map")


def _named_code(path: Path) -> str:
    try:
        return str(read_json(path).get("auto_map"))
    except (ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: not a JSON object") from error
