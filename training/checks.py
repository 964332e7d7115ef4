"""Checks of a recipe's files for the LLM stages: light ones before any stage starts, heavy ones for the doctor."""

from launch.config import Recipe
from launch.errors import InputError
from launch.processes.commands import accelerate_file, count_gpus
from training.base_files import find_base
from training.config import LlmConfig
from training.prompts.config import PromptsConfig
from training.tuning.deepspeed_file import read_deepspeed_file
from training.tuning.guards import check_global_batch


def check_base(recipe: Recipe) -> None:
    """The base model is there, whole and safe."""
    prompts: PromptsConfig = recipe.sections["prompts"]
    find_base(prompts.base, trust_remote_code=prompts.trust_remote_code, allow_pickle=prompts.allow_pickle)


def check_engine(recipe: Recipe) -> None:
    """The DeepSpeed and Accelerate files are there and can be used; every rank has work, where their number is told."""
    llm: LlmConfig = recipe.sections["llm"]
    read_deepspeed_file(llm)
    prompts: PromptsConfig = recipe.sections["prompts"]
    if llm.twins and prompts.order != "own_first":
        raise InputError(
            f"llm.twins=true needs prompts.order=own_first, got {prompts.order}: a user's prompts must begin alike"
        )
    if recipe.launch.processes is not None:
        ranks = (recipe.launch.nodes or 1) * recipe.launch.processes
        check_global_batch(llm.global_batch, ranks=ranks, together=llm.together)
    accelerate_file(recipe.launch, gpus=count_gpus())


def examine_base(recipe: Recipe) -> str:
    """The base model loads: tokenizer, configuration, and the names and shapes of all weights. Heavy."""
    prompts: PromptsConfig = recipe.sections["prompts"]
    base = find_base(prompts.base, trust_remote_code=prompts.trust_remote_code, allow_pickle=prompts.allow_pickle)
    if base.kind == "scratch":
        return "scratch: built, not loaded"
    from training.base_model import check_weights, load_tokenizer  # here: the other checks import nothing heavy

    check_weights(base, load_tokenizer(base))
    return f"{base.files}: its tokenizer loads, its weights are those of its configuration"


def compiled_ops(recipe: Recipe) -> str | None:
    """The DeepSpeed operations that the fine-tune compiles as it starts, by the recipe's file; None: none."""
    _, settings = read_deepspeed_file(recipe.sections["llm"])
    zero = settings["zero_optimization"]
    devices = {str((zero.get(name) or {}).get("device")) for name in ("offload_optimizer", "offload_param")}
    ops = []
    # Unless the file says otherwise, DeepSpeed takes its own Adam where the optimizer lies in host memory.
    if zero.get("offload_optimizer") and settings.get("zero_force_ds_cpu_optimizer", True) is True:
        ops.append("DeepSpeedCPUAdam")
    if "nvme" in devices:
        ops.append("AsyncIO")
    return " and ".join(ops) or None
