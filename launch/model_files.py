"""Check the files of a language model's folder before anything of it is loaded: whole, safe, no adapter.

Neither torch nor transformers is needed here. What only they can tell (unreadable weights, no tokenizer, code of the
model's own, which does not run unless trust_remote_code is asked for) is refused by those who load.
"""

import json
from pathlib import Path

from launch.errors import InputError

LFS_POINTER = b"version https://git-lfs"
PICKLES = ("*.bin", "*.pt", "*.pth")
SHARD_LIST = "model.safetensors.index.json"


def check_model_folder(
    folder: Path,
    *,
    where: str,
    allow_pickle: bool = False,
    pickle_fix: str = "give a folder with *.safetensors",
    no_weights: str = "no weights there; give a folder with *.safetensors",
) -> None:
    """InputError in one line that begins with `where`, unless `folder` holds a configuration and all its weights."""
    if (folder / "adapter_config.json").is_file():
        raise InputError(f"{where}: holds an adapter; merge it into its base model and give that folder")
    if not (folder / "config.json").is_file():
        raise InputError(f"{where}: no config.json there; give the folder of a transformers model")
    weights = _listed_shards(folder) or sorted(folder.glob("*.safetensors"))
    pickles = [file.name for pattern in PICKLES for file in sorted(folder.glob(pattern))]
    if not weights and not pickles:
        raise InputError(f"{where}: {no_weights}")
    if not weights and not allow_pickle:
        raise InputError(f"{where}: weights are pickles ({pickles[0]}), which can run code; {pickle_fix}")
    for file in weights:
        if not file.is_file():
            raise InputError(f"{where}: {file.name} is missing; download the folder again")
        with file.open("rb") as opened:
            if opened.read(len(LFS_POINTER)) == LFS_POINTER:
                raise InputError(f"{where}: {file.name} is a git-lfs pointer, not weights; run git lfs pull")


def _listed_shards(folder: Path) -> list[Path]:
    index = folder / SHARD_LIST
    if not index.is_file():
        return []
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        shards = [folder / name for name in sorted(names)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{index}: not a valid list of shards; download the folder again") from error
    outside = next((shard for shard in shards if shard.parent != folder), None)
    if outside is not None:
        raise InputError(f"{index}: names a file outside of its folder, {outside}; download the folder again")
    return shards
