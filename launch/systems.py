"""The one table of all systems that a report judges, in the report's order: where each list comes from, and which
systems it is compared with."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class System:
    """One row of the table."""

    by: Literal["baseline", "pretrain", "generate", "evaluate"]
    """Who makes its lists: the evaluate stage by a fit (`evaluation.systems.baseline_table` says how), another stage,
    or the evaluate stage out of other lists."""
    against: tuple[str, ...] = ()
    """The systems from which its difference is tested."""


SYSTEM_TABLE = {
    "popularity": System("baseline"),
    "recent": System("baseline", against=("popularity",)),
    "markov": System("baseline"),
    "item_cosine": System("baseline"),
    "recent_cosine": System("baseline", against=("item_cosine",)),
    "ridge": System("baseline"),
    "text": System("baseline"),
    "text_squares": System("baseline", against=("text",)),
    "baseline_fusion": System("evaluate", against=("ridge",)),
    "evidence_untrained": System("pretrain"),
    "evidence": System("pretrain", against=("evidence_untrained",)),
    "encoders": System("pretrain"),
    "graph": System("pretrain", against=("item_cosine", "evidence")),
    "llm": System("generate", against=("graph",)),
    "paper_refined": System("evaluate"),
    "fusion": System("evaluate", against=("baseline_fusion", "graph")),
    "kinrec": System("evaluate", against=("fusion", "baseline_fusion", "graph", "paper_refined")),
}
FINAL = "kinrec"
SYSTEMS = tuple(SYSTEM_TABLE)
BASELINES = tuple(name for name, system in SYSTEM_TABLE.items() if system.by == "baseline")
WRITER = {name: system.by for name, system in SYSTEM_TABLE.items() if system.by in {"pretrain", "generate"}}
"""The stage that writes the lists of a system, where another than evaluate does."""
GRAPH_SYSTEMS = tuple(name for name, writer in WRITER.items() if writer == "pretrain")
FUSED = ("graph", "llm")
"""Systems of other stages that are fused with the baselines."""
TAUGHT = ("evidence",)
"""Systems of other stages that the list ranker learns from."""
GRAPH_PARTS = tuple(name for name in GRAPH_SYSTEMS if name != "graph")
"""Rows of a report that a model without evidence does not have."""
JUDGED = tuple(name for name in SYSTEMS if name not in WRITER)
"""Systems whose lists the evaluate stage makes."""
COMPARED = tuple(
    (name, other)
    for name in (FINAL, *(name for name in SYSTEMS if name != FINAL))
    for other in SYSTEM_TABLE[name].against
)
"""Pairs of systems whose difference is tested: those of the final list first."""
TOLD_BY = {"train": "train", "refit": "train and valid", "rolling": "all until each question"}
"""`evaluation.knowledge` -> what tells test's lists what goes together and what sells."""
