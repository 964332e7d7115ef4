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
PICKLE_LIST = "pytorch_model.bin.index.json"
SAFE = ".safetensors"


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
    listed = _listed_shards(folder, SHARD_LIST)
    weights = [file for file in listed if file.suffix == SAFE] or sorted(folder.glob(f"*{SAFE}"))
    pickles = [file for file in listed if file.suffix != SAFE] + _listed_shards(folder, PICKLE_LIST)
    unsafe = pickles + [file for pattern in PICKLES for file in sorted(folder.glob(pattern))]
    if not weights and not unsafe:
        raise InputError(f"{where}: {no_weights}")
    # A list of safetensors that names something else is read as it says, whatever lies beside it.
    needed = [file for file in listed if file.suffix != SAFE] or ([] if weights else unsafe)
    if needed and not allow_pickle:
        raise InputError(f"{where}: weights are pickles ({needed[0].name}), which can run code; {pickle_fix}")
    for file in weights if not needed else [*weights, *pickles]:
        if not file.is_file():
            raise InputError(f"{where}: {file.name} is missing; download the folder again")
        with file.open("rb") as opened:
            if opened.read(len(LFS_POINTER)) == LFS_POINTER:
                raise InputError(f"{where}: {file.name} is a git-lfs pointer, not weights; run git lfs pull")


def _listed_shards(folder: Path, name: str) -> list[Path]:
    """The files that a list of shards names; none where there is no list."""
    index = folder / name
    if not index.is_file():
        return []
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        shards = [folder / name for name in sorted(names)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{index}: not a valid list of shards; download the folder again") from error
    outside = next((shard for shard in shards if shard.parent != folder), None)
    if outside is not None:
        raise InputError(f"{index}: names a file outside of its folder, {outside}; download the folder again")
    return shards
