"""What the other stages of the language model need: prompts on the disk, memory to generate."""

from launch.plan.estimates import GIB, Estimate, Need, Setting
from training.answers.config import MOST_AHEAD, GenerationConfig
from training.config import LlmConfig
from training.plain_heads import CHUNK_NUMBERS
from training.plan.arithmetic import arithmetic_of
from training.plan.finetune import ANSWER_TOKENS
from training.plan.shapes import shape_of
from training.prompts.config import PromptsConfig

TOKEN_BYTES = 4
"""Of a token of prompts/."""
PROMPTS_A_SECOND = 2000.0
"""Of one process, assembled and written; BENCHMARKS.md."""
AHEAD_SLOTS = 1.25
"""Of a cache, beside the tokens that beams write one by one: those that were read ahead for beams that lost, and the
widest prompt's room for all (486 for 440 of 8 prompts and 10 beams)."""
LIST_BYTES = 12
"""Of an item of a ranked list: its number and its score."""


def plan_tokenize(setting: Setting) -> Estimate:
    """The estimate of the stage `tokenize`."""
    prompts: PromptsConfig = setting.recipe.sections["prompts"]
    train = min(setting.asking_train, prompts.max_train_samples or setting.asking_train)
    rows = train + setting.asking_held_out
    return Estimate(
        stage="tokenize",
        host=[Need("titles and histories", 400 * setting.counts.items + 200 * setting.counts.users)],
        disk=[Need("prompts, at most", rows * prompts.max_tokens * TOKEN_BYTES)],
        seconds=rows / (PROMPTS_A_SECOND * prompts.num_workers),
        how=f"rough: {rows:,} prompts at {PROMPTS_A_SECOND:,.0f} a second and process",
    )


def plan_generate(setting: Setting) -> Estimate:
    """The estimate of the stage `generate`: every rank holds the whole model, or a slice of every layer."""
    generation: GenerationConfig = setting.recipe.sections["generation"]
    llm: LlmConfig = setting.recipe.sections["llm"]
    prompts: PromptsConfig = setting.recipe.sections["prompts"]
    machine, shape = setting.machine, shape_of(prompts, llm.scratch, setting.run_dir)
    arithmetic = arithmetic_of(generation.precision, machine)
    number = arithmetic.number
    ranks = generation.by == "rank" or (generation.by == "auto" and llm.task != "write")
    written = _candidate_tokens(prompts) if ranks else _beam_tokens(generation)
    at_once = max(generation.batch_tokens, prompts.max_tokens + written) if ranks else generation.batch_tokens
    memory = [
        Need("parameters", number * shape.parameters / (machine.ranks if generation.tensor_parallel else 1)),
        Need("reading a batch", at_once * number * (2 * shape.hidden + 3 * shape.met * shape.inner)),
    ]
    rows = max(1, generation.batch_tokens // (prompts.max_tokens + written * ranks))
    if ranks:
        longest = prompts.max_tokens + written
        memory += [
            Need("what sees what", 2 * number * shape.heads * rows * longest**2),
            Need("likelihoods of titles", 3 * 4 * CHUNK_NUMBERS),
        ]
    else:
        cached = rows * (prompts.max_tokens + AHEAD_SLOTS * written)
        read = rows * generation.num_beams * (1 + MOST_AHEAD)
        memory += [
            Need("keys and values", 2 * number * shape.layers * shape.kv_heads * shape.head_dim * cached),
            Need("scores of beams", 16 * rows * generation.num_beams * shape.vocabulary),
            Need("what sees what", (number + 3) * read * cached / rows),
        ]
    samples = setting.asking_held_out
    if generation.max_samples is not None:
        samples = min(samples, 2 * generation.max_samples)
    tokens = samples * (prompts.max_tokens + written)
    rate = machine.ranks * machine.flops * arithmetic.speed * machine.utilisation / (2 * shape.met_parameters)
    size = sum(part.size for part in memory)
    too_large = machine.gpu_memory is not None and size > machine.gpu_memory
    return Estimate(
        stage="generate",
        memory=memory,
        disk=[Need("answers and lists", samples * (generation.list_depth * LIST_BYTES + 100 * generation.num_beams))],
        seconds=tokens / rate,
        how=f"rough: {tokens:.3g} tokens read{'' if ranks else ' and written'}, 2 FLOP a parameter",
        advice=[
            f"generate holds the whole model on every rank: {size / GIB:.0f} GiB of {machine.gpu_memory / GIB:.0f}; "
            "lower generation.batch_tokens, or set generation.tensor_parallel=true, or take larger GPUs"
        ]
        if too_large and machine.gpu_memory is not None
        else [],
        notes=[f"in {arithmetic}"],
    )


def _beam_tokens(generation: GenerationConfig) -> int:
    """Written for a prompt."""
    return generation.num_beams * (generation.max_new_tokens or ANSWER_TOKENS + generation.token_margin)


def _candidate_tokens(prompts: PromptsConfig) -> int:
    """Of the titles of a prompt's candidates, were no item of the graph among those by votes."""
    title = ANSWER_TOKENS if prompts.max_candidate_tokens is None else min(ANSWER_TOKENS, prompts.max_candidate_tokens)
    return (prompts.graph_candidates + prompts.vote_candidates) * title
