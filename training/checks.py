"""Checks of a recipe's files for the LLM stages, made before any stage starts; nothing heavy is imported."""

from launch.config import Recipe
from launch.processes.starter import accelerate_file, count_gpus
from training.base_files import find_base
from training.config import LlmConfig, PromptsConfig
from training.tuning.deepspeed_file import read_deepspeed_file


def check_base(recipe: Recipe) -> None:
    """The base model is there, whole and safe."""
    prompts: PromptsConfig = recipe.sections["prompts"]
    find_base(prompts.base, trust_remote_code=prompts.trust_remote_code, allow_pickle=prompts.allow_pickle)


def check_engine(recipe: Recipe) -> None:
    """The DeepSpeed and Accelerate files are there and can be used."""
    llm: LlmConfig = recipe.sections["llm"]
    read_deepspeed_file(llm.deepspeed)
    accelerate_file(recipe.launch, gpus=count_gpus())
