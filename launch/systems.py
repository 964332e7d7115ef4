"""The one table of all systems that a report judges, in the report's order: where each list comes from, and which
systems it is compared with."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class System:
    """One row of the table."""

    by: Literal["baseline", "stage", "evaluate"]
    """Who makes its lists: the evaluate stage by a fit (`evaluation.systems.baseline_table` says how), a stage of its
    own, or the evaluate stage out of other lists."""
    against: tuple[str, ...] = ()
    """The systems from which its difference is tested."""


SYSTEM_TABLE = {
    "popularity": System("baseline"),
    "recent": System("baseline", against=("popularity",)),
    "markov": System("baseline"),
    "item_cosine": System("baseline"),
    "ridge": System("baseline"),
    "text": System("baseline"),
    "text_squares": System("baseline", against=("text",)),
    "baseline_fusion": System("evaluate", against=("ridge",)),
    "graph": System("stage", against=("item_cosine",)),
    "llm": System("stage", against=("graph",)),
    "paper_refined": System("evaluate"),
    "fusion": System("evaluate", against=("baseline_fusion", "graph")),
    "kinrec": System("evaluate", against=("fusion", "baseline_fusion", "graph", "paper_refined")),
}
FINAL = "kinrec"
SYSTEMS = tuple(SYSTEM_TABLE)
BASELINES = tuple(name for name, system in SYSTEM_TABLE.items() if system.by == "baseline")
GIVEN = tuple(name for name, system in SYSTEM_TABLE.items() if system.by == "stage")
JUDGED = tuple(name for name in SYSTEMS if name not in GIVEN)
"""Systems whose lists the evaluate stage makes."""
COMPARED = tuple(
    (name, other)
    for name in (FINAL, *(name for name in SYSTEMS if name != FINAL))
    for other in SYSTEM_TABLE[name].against
)
"""Pairs of systems whose difference is tested: those of the final list first."""
