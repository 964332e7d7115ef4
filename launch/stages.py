"""The stages of a run: module, recipe section, launcher, what each reads and writes.

Stages are named by strings, so that the command knows all of them and imports none.
"""

from dataclasses import dataclass
from typing import Literal

from launch.systems import GRAPH_SYSTEMS, JUDGED


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
    optional: tuple[str, ...] = ()
    """The stages whose files it reads where they have finished, and does without where they have not."""
    checks: tuple[str, ...] = ()
    """`module:function` of checks of the whole recipe that need files and nothing heavy; done before any stage."""
    examines: tuple[str, ...] = ()
    """`module:function` of checks of the recipe that need heavy libraries; `kinrec doctor` makes them in a child."""
    compiles: str | None = None
    """`module:function` that says which operations the stage has to compile before it starts, or None."""
    plan: str | None = None
    """`module:function` that estimates what the stage needs (launch.plan.estimates)."""
    version: int = 1
    """Raised when the same configuration and inputs give other results than before."""
    huge_pages: bool = False
    """On CPUs its ranks ask for and hand back large blocks all the time: they ask the system for huge pages."""
    presets: str | None = None
    """`module:NAME` of a mapping of whole configurations that the section may start from; the first is the default."""

    @property
    def folders(self) -> tuple[str, ...]:
        """The top folders of the run that it writes to."""
        return tuple(sorted({pattern.partition("/")[0] for pattern in (*self.writes, *self.resumes)}))


STAGES: tuple[Stage, ...] = (
    Stage(
        "prepare", "pairs.prepare", "pair", "pairs.config:PairConfig", "python", (), ("pair/**/*",),
        checks=("pairs.checks:check_sources",), plan="pairs.plan.prepare:plan_prepare", version=2,
    ),
    Stage(
        "pretrain", "graph.pretrain", "graph", "graph.config:GraphConfig", "torchrun",
        ("prepare",), ("graph/**/*", *(f"lists/{name}_*.parquet" for name in GRAPH_SYSTEMS)), ("graph/checkpoints",),
        presets="graph.presets:PRESETS", plan="graph.plan.pretrain:plan_pretrain", version=9,
    ),
    Stage(
        "retrieve", "retrieval.neighbours", "retrieval", "retrieval.config:RetrievalConfig", "torchrun",
        ("prepare", "pretrain"), ("neighbours/**/*",), ("neighbours/parts",),
        plan="retrieval.plan.retrieve:plan_retrieve", version=5,
    ),
    Stage(
        "tokenize", "training.tokenize_prompts", "prompts", "training.prompts.config:PromptsConfig", "python",
        ("prepare", "pretrain", "retrieve"), ("prompts/**/*",), checks=("training.checks:check_base",),
        plan="training.plan.others:plan_tokenize", version=5,
    ),
    Stage(
        "finetune", "training.finetune", "llm", "training.config:LlmConfig", "accelerate",
        ("tokenize",), ("llm/**/*",), ("llm/checkpoints",),
        checks=("training.checks:check_base", "training.checks:check_engine"),
        examines=("training.checks:examine_base",), compiles="training.checks:compiled_ops",
        plan="training.plan.finetune:plan_finetune", version=2, huge_pages=True,
    ),
    Stage(
        "generate", "training.generate", "generation", "training.answers.config:GenerationConfig", "torchrun",
        ("prepare", "tokenize", "finetune"), ("lists/llm_*.parquet", "generated/**/*"), ("generated/parts",),
        plan="training.plan.others:plan_generate", huge_pages=True,
    ),
    Stage(
        "evaluate", "evaluation.evaluate", "evaluation", "evaluation.config:EvaluationConfig", "torchrun",
        ("prepare", "pretrain"), ("report/**/*", *(f"lists/{name}_*.parquet" for name in JUDGED)),
        optional=("retrieve", "generate"), plan="evaluation.plan.evaluate:plan_evaluate", version=12,
    ),
)  # fmt: skip


PROBE = Stage("doctor", "launch.doctor.rank_probe", "launch", "launch.config:LaunchConfig", "torchrun", (), ())
"""Of no run: ranks that `kinrec doctor` starts as a stage's are started, to see what those would meet."""


def stage_named(name: str) -> Stage:
    """The stage called `name`."""
    for stage in (*STAGES, PROBE):
        if stage.name == name:
            return stage
    raise KeyError(name)
