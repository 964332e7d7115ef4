"""The stages of a run: module, recipe section, launcher, what each reads and writes.

Stages are named by strings, so that the command knows all of them and imports none.
"""

from dataclasses import dataclass
from typing import Literal

from launch.systems import JUDGED


@dataclass(frozen=True)
class Stage:
    """One stage of a run."""

    name: str
    module: str
    section: str
    """The recipe's section that configures it."""
    config: str
    """`module:Class` of that section; the module is light."""
    starter: Literal["python", "torchrun", "accelerate"]
    reads: tuple[str, ...]
    """The stages whose files it reads."""
    writes: tuple[str, ...]
    """Glob patterns of its files, below the run folder."""
    resumes: tuple[str, ...] = ()
    """Folders of state that only a resumed start reads; not part of what it wrote."""


STAGES: tuple[Stage, ...] = (
    Stage("prepare", "pairs.prepare", "pair", "pairs.config:PairConfig", "python", (), ("pair/**/*",)),
    Stage(
        "pretrain", "graph.pretrain", "graph", "graph.config:GraphConfig", "torchrun",
        ("prepare",), ("graph/**/*", "lists/graph_*.parquet"), ("graph/checkpoints",),
    ),
    Stage(
        "retrieve", "retrieval.neighbours", "retrieval", "retrieval.config:RetrievalConfig", "torchrun",
        ("prepare", "pretrain"), ("neighbours/**/*",), ("neighbours/parts",),
    ),
    Stage(
        "tokenize", "training.tokenize_prompts", "prompts", "training.config:PromptsConfig", "python",
        ("prepare", "retrieve"), ("prompts/**/*",),
    ),
    Stage(
        "finetune", "training.finetune", "llm", "training.config:LlmConfig", "accelerate",
        ("tokenize",), ("llm/**/*",), ("llm/checkpoints",),
    ),
    Stage(
        "generate", "training.generate", "generation", "training.config:GenerationConfig", "torchrun",
        ("prepare", "tokenize", "finetune"), ("lists/llm_*.parquet", "generated/**/*"), ("generated/parts",),
    ),
    Stage(
        "evaluate", "evaluation.evaluate", "evaluation", "evaluation.config:EvaluationConfig", "python",
        ("prepare", "pretrain", "retrieve", "generate"),
        ("report/**/*", *(f"lists/{name}_*.parquet" for name in JUDGED)),
    ),
)  # fmt: skip


def stage_named(name: str) -> Stage:
    """The stage called `name`."""
    for stage in STAGES:
        if stage.name == name:
            return stage
    raise KeyError(name)
