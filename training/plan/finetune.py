"""What the fine-tune needs: memory a rank under its DeepSpeed file and under every other, disk, time, idle ranks."""

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from launch.artifacts import read_json
from launch.errors import InputError
from launch.plan.estimates import GIB, EngineOption, Estimate, Machine, Need, Setting, total
from training.config import LlmConfig, LoraConfig
from training.plan.arithmetic import Assumed, arithmetic_of
from training.plan.memory import (
    APART_BYTES,
    FOUR_BITS,
    STEP_BYTES,
    Engine,
    Load,
    activation_bytes,
    engine_of,
    peak_parts,
)
from training.plan.shapes import Shape, shape_of
from training.prompts.config import PromptsConfig
from training.tuning.deepspeed_file import DS_CONFIGS, read_deepspeed_file

KEPT_CHECKPOINTS = 3
"""Two are kept while a third is written."""
ANSWER_TOKENS = 24
"""Of a title, where no prompt is written yet."""
EMPTY_TOKENS = 48
"""Of a prompt without history, in a chat template."""
SPARE = 0.92
"""Share of a GPU that a plan may fill: the rest is CUDA's, NCCL's, and lost between blocks."""
FLOPS = {False: 6, True: 8}
"""A parameter and token: forward 2, backward 4, forward once more with checkpointing."""


def plan_finetune(setting: Setting) -> Estimate:
    """The estimate of the stage `finetune`."""
    llm: LlmConfig = setting.recipe.sections["llm"]
    prompts: PromptsConfig = setting.recipe.sections["prompts"]
    machine = setting.machine
    shape = shape_of(prompts, llm.scratch, setting.run_dir)
    arithmetic = arithmetic_of(llm.precision, machine)
    load = load_of(shape, arithmetic, llm, prompts, setting)
    engine = engine_of(read_deepspeed_file(llm)[1], machine.processes)
    memory, host = peak_parts(shape, load, engine, ranks=machine.ranks)
    disk = disk_parts(shape, load)
    seconds, how = _seconds(shape, llm, setting, flops=machine.flops * arithmetic.speed)
    choices = _choices(shape, load, setting, llm)
    return Estimate(
        stage="finetune",
        memory=memory,
        host=[*_of_node(host, machine), *loading_parts(shape, load, prompts, machine)],
        disk=disk,
        seconds=seconds,
        how=how,
        choices=choices,
        advice=[*_idle(llm, machine), *_big(shape, load, prompts, machine), *_unfit(choices, llm)],
        notes=[
            f"{shape.parameters / 1e9:.3g} G parameters, {load.trained / 1e9:.3g} G of them trained, in "
            f"{arithmetic}; {load.rows} x {load.tokens} tokens a rank at once"
        ],
        model=(shape.parameters, shape.largest_layer),
    )


def load_of(shape: Shape, arithmetic: Assumed, llm: LlmConfig, prompts: PromptsConfig, setting: Setting) -> Load:
    """The largest batch of a rank."""
    told = _meta(setting.run_dir)
    tokens = min(prompts.max_tokens, told["splits"]["train"]["max_tokens"]) if told else prompts.max_tokens
    answer = told["longest_answer"] if told else min(ANSWER_TOKENS, tokens)
    listed = list_tokens(llm, setting)
    on_gpus = setting.machine.on_gpus
    rows = min(llm.per_device_batch // llm.together, -(-step_rows(llm) // setting.machine.ranks))
    if llm.twins and not shape.plain_head:
        answer = min(tokens, rows * answer)  # every row's scores are made wherever some row learns
    load = Load(
        rows=rows,
        tokens=llm.together * (tokens + listed),  # of twins at most: what they share is read once
        learnt=llm.together * (tokens - 1 if llm.learn == "prompt" else answer),
        number=arithmetic.number,
        checkpointing=llm.gradient_checkpointing,
        trained=trained_parameters(shape, llm.lora),
        on_gpu=on_gpus,
        frozen=None if llm.lora.base == "whole" else FOUR_BITS,
        moments=2 if llm.optimizer == "adamw_8bit" else 8,
        step=STEP_BYTES if llm.optimizer == "adamw" or on_gpus else APART_BYTES,
        eager=llm.attention == "eager" or (llm.attention == "auto" and not on_gpus and arithmetic.precision == "bf16"),
    )
    if llm.task != "write" or llm.judge == "loss":
        return load
    listed = tokens + _titles(llm, setting)
    judged = replace(load, rows=llm.per_device_batch, tokens=listed, checkpointing=True)  # a layer at a time
    return max(load, judged, key=lambda one: activation_bytes(shape, one))


def step_rows(llm: LlmConfig) -> int:
    """Rows of a step, each of so many samples as stay together, which ranks share."""
    return -(-llm.global_batch // llm.together)


def list_tokens(llm: LlmConfig, setting: Setting) -> int:
    """Of the candidates behind a prompt; none where the model learns to write alone."""
    return 0 if llm.task == "write" else _titles(llm, setting)


def _titles(llm: LlmConfig, setting: Setting) -> int:
    """Of a list but for its target's title behind the prompt: titles stand behind a prompt without history as well,
    where what they have there is taken off."""
    prompts: PromptsConfig = setting.recipe.sections["prompts"]
    told = _meta(setting.run_dir)
    title = told["answer_tokens"] if told else ANSWER_TOKENS
    title = title if prompts.max_candidate_tokens is None else min(title, prompts.max_candidate_tokens)
    weight = llm.prior_weight if llm.prior_weight is not None else float(prompts.base != "scratch")
    priors = EMPTY_TOKENS + (1 + llm.negatives) * title if llm.score == "title" and weight else 0
    return int(llm.negatives * title + priors)


def trained_parameters(shape: Shape, lora: LoraConfig) -> int:
    """All, or those of the adapters."""
    if not lora.enabled:
        return shape.parameters
    h, q, kv = shape.hidden, shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    widths = {
        "q_proj": h + q, "k_proj": h + kv, "v_proj": h + kv, "o_proj": q + h,
        "gate_proj": h + shape.inner, "up_proj": h + shape.inner, "down_proj": shape.inner + h,
    }  # fmt: skip
    return shape.layers * lora.rank * sum(widths.get(name, 2 * h) for name in lora.target_modules)


def disk_parts(shape: Shape, load: Load) -> list[Need]:
    """In the run folder at the most; the checkpoints go when the stage has finished."""
    one = load.number * shape.parameters + (4 + load.moments) * load.trained
    weights = load.number * shape.parameters
    return [
        Need(f"{KEPT_CHECKPOINTS} checkpoints (weights, fp32 weights, moments)", KEPT_CHECKPOINTS * one),
        Need("best weights, while the next are written", 2 * weights),
        Need("llm/model", weights),
    ]


def loading_parts(shape: Shape, load: Load, prompts: PromptsConfig, machine: Machine) -> list[Need]:
    """Host memory of a node that only the start and the saves need: rank 0's node is the worst."""
    whole = load.number * shape.parameters
    if load.frozen is not None:
        return [Need("whole weights of every rank, before they are in 4 bits", whole * machine.processes)]
    if prompts.base not in {"scratch", "smollm2"} and not prompts.base.endswith(".gguf"):
        return [Need("whole weights of rank 0, at the start and at each save", whole)]
    if not machine.on_gpus:
        return []  # in a rank's own memory, and less than the peak of a step
    return [Need("whole weights of every rank, at the start", whole * machine.processes)]


def _of_node(parts: list[Need], machine: Machine) -> list[Need]:
    return [replace(part, size=part.size * machine.processes) for part in parts]


def _seconds(shape: Shape, llm: LlmConfig, setting: Setting, *, flops: float) -> tuple[float, str]:
    prompts: PromptsConfig = setting.recipe.sections["prompts"]
    told, machine = _meta(setting.run_dir), setting.machine
    samples = told["splits"]["train"]["samples"] if told else setting.asking_train
    if prompts.max_train_samples is not None:
        samples = min(samples, prompts.max_train_samples)
    mean = told["splits"]["train"]["mean_tokens"] if told else prompts.max_tokens
    mean += list_tokens(llm, setting)
    read = samples * llm.epochs
    if llm.max_steps is not None:
        read = min(read, llm.max_steps * llm.global_batch)
    tokens = read * mean
    measured = measured_rate(setting.run_dir)
    if measured is not None:
        return tokens / measured, f"{tokens:.3g} tokens at {measured:,.0f} a second, as this run was last measured"
    busy = min(machine.ranks, step_rows(llm))
    rate = busy * flops * machine.utilisation / (FLOPS[llm.gradient_checkpointing] * shape.met_parameters)
    least = "" if told and not llm.twins else "at most "
    return tokens / rate, (
        f"rough: {least}{tokens:.3g} tokens of {FLOPS[llm.gradient_checkpointing]} FLOP a parameter at "
        f"{100 * machine.utilisation:.0f} % of {flops / 1e12:.3g} TFLOP/s x {busy}: {rate:,.0f} tokens/s"
    )


def measured_rate(run_dir: Path) -> float | None:
    """Tokens a second that this run's fine-tune has logged last."""
    path = run_dir / "metrics" / "finetune" / "metrics.jsonl"
    rate = None
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            rate = json.loads(line).get("finetune/tokens_per_second", rate)
    except (OSError, ValueError, AttributeError):
        return None
    return rate


def _choices(shape: Shape, load: Load, setting: Setting, llm: LlmConfig) -> list[EngineOption]:
    """Every file of ds_configs/ that the recipe can be trained under, and its own, by what it needs; without and with
    checkpointing."""
    machine = setting.machine
    usable = {llm.deepspeed: _settings(llm, llm.deepspeed)}
    for name in sorted(file.stem for file in DS_CONFIGS.glob("*.json")):
        with contextlib.suppress(InputError):
            usable[name] = _settings(llm, name)
    names = sorted(usable, key=lambda name: (name != llm.deepspeed, _traffic(usable[name])))
    choices = []
    for name in names:
        for checkpointing in dict.fromkeys([load.checkpointing, True]):
            engine = engine_of(usable[name], machine.processes)
            memory, host = peak_parts(shape, replace(load, checkpointing=checkpointing), engine, ranks=machine.ranks)
            choices.append(
                EngineOption(
                    name=name + (" + gradient_checkpointing" if checkpointing and not load.checkpointing else ""),
                    memory=total(memory),
                    host=total(host) * machine.processes,
                    fits=machine.gpu_memory is None or total(memory) <= SPARE * machine.gpu_memory,
                )
            )
    best = recommended(choices, llm)
    return [replace(choice, note="recommended") if choice is best else choice for choice in choices]


def recommended(choices: list[EngineOption], llm: LlmConfig) -> EngineOption | None:
    """The first that fits, by how little travels between ranks."""
    ordered = sorted(
        choices, key=lambda choice: ("+" in choice.name, _traffic(_settings(llm, choice.name.split(" +")[0])))
    )
    return next((choice for choice in ordered if choice.fits), None)


def _settings(llm: LlmConfig, name: str) -> dict[str, Any]:  # Any: plain JSON values
    return read_deepspeed_file(replace(llm, deepspeed=name))[1]


def _traffic(settings: dict[str, Any]) -> tuple[int, bool]:
    """What sorts engines from the least that travels to the most; hierarchical ones only pay over several nodes."""
    engine: Engine = engine_of(settings)
    return engine.stage + 3 * (engine.host_optimizer + engine.host_weights), engine.second_copy is not None


def _unfit(choices: list[EngineOption], llm: LlmConfig) -> list[str]:
    own = next(choice for choice in choices if choice.name == llm.deepspeed)
    best = next((choice for choice in choices if choice.note), None)
    if own.fits:
        return []
    if best is None:
        return [
            "the fine-tune fits with no file of ds_configs/: take more ranks, a smaller llm.per_device_batch or "
            "prompts.max_tokens, or llm.lora.enabled=true"
        ]
    return [f"llm.deepspeed={llm.deepspeed} does not fit; {best.name} does"]


def _idle(llm: LlmConfig, machine: Machine) -> list[str]:
    ranks, rows = machine.ranks, step_rows(llm)
    if ranks > rows:
        return [
            f"{ranks - rows} of {ranks} ranks would idle: llm.global_batch is {llm.global_batch}; raise it "
            "(which changes the result) or take fewer ranks"
        ]
    if llm.global_batch % (ranks * min(llm.per_device_batch, -(-llm.global_batch // ranks))):
        return [
            f"llm.global_batch={llm.global_batch} is no multiple of ranks x per_device_batch ({ranks} x "
            f"{llm.per_device_batch}): some micro-steps are part empty"
        ]
    return []


def _big(shape: Shape, load: Load, prompts: PromptsConfig, machine: Machine) -> list[str]:
    whole = sum(part.size for part in loading_parts(shape, load, prompts, machine))
    if whole < 32 * GIB:
        return []
    return [
        f"the first node needs {whole / GIB:.0f} GiB of host memory beside all else to load the base and to save its "
        "weights (slurm memory); a smaller node is killed there, not in training"
    ]


def _meta(run_dir: Path) -> dict[str, Any] | None:  # Any: plain JSON values
    path = run_dir / "prompts" / "meta.json"
    try:
        told: dict[str, Any] = read_json(path)
        known = told["splits"]["train"]["samples"] > 0 and told["longest_answer"] > 0
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return told if known else None
