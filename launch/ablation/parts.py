"""The parts that `kinrec ablate` asks about, and the keys of a recipe that switch each off or on.

A new part is a row of `PARTS`. Where a switch needs a value beside it, that is the preset `paper`'s; what `paper` has
not, `best`'s; and of attention over words, which is neither's, as the row `late_interaction` has it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from launch.config import Recipe
from launch.errors import InputError

Value: TypeAlias = bool | float | str
Card: TypeAlias = Mapping[str, Any]  # Any: plain JSON values


def _always(card: Card) -> str | None:
    return None


def _needs_times(card: Card) -> str | None:
    return None if (card.get("time_range") or {}).get("train") else "the pair has no times"


def _needs_one_domain(card: Card) -> str | None:
    return "the pair has no user of one domain" if card.get("graph_only_users") == 0 else None


def _needs_twins(card: Card) -> str | None:
    return None if (card.get("twins") or {}).get("train") else "no train user of the pair has twins"


@dataclass(frozen=True)
class AblatedPart:
    """One row of the table."""

    name: str
    what: str
    off: Mapping[str, Value]
    """The keys that switch it off. It is off in a recipe that has the first one's value already."""
    on: Mapping[str, Value]
    """The keys that switch it on."""
    needs: tuple[str, Value] | None = None
    """A key and the value that it must have in the recipe, or there is nothing to switch."""
    why_not_of: Callable[[Card], str | None] = _always
    """Why a prepared pair, by its card, has nothing to switch; None: it has."""

    @property
    def changes_pair(self) -> bool:
        """Whether the pair is another one without it."""
        return any(key.startswith("pair.") for key in self.off)

    def is_on(self, recipe: Recipe) -> bool:
        """Whether a recipe has it."""
        key, value = next(iter(self.off.items()))
        return bool(value_of(recipe, key) != value)

    def switched(self, recipe: Recipe) -> dict[str, Value]:
        """The keys that make it the other way than in a recipe."""
        return dict(self.off if self.is_on(recipe) else self.on)

    def why_not(self, recipe: Recipe) -> str | None:
        """Why a recipe has nothing to switch; None: it has."""
        if self.needs is None:
            return None
        key, value = self.needs
        own = value_of(recipe, key)
        return None if own == value else f"it is a part of what {key}={_word(own)} leaves out"


ATTENTION, LATE = ("graph.model.encoder", "attention"), ("graph.model.encoder", "late")
EVIDENCE = ("graph.model.evidence", True)
PARTS = (
    AblatedPart(
        "late_interaction", "items that vote by themselves, in factorised tables; off: self-attention over words",
        off={
            "graph.model.encoder": "attention", "graph.model.dim": 64, "graph.model.initial": "text",
            "graph.model.init_scale": 1.0, "graph.model.tie_head": True, "graph.model.propagation_dropout": 0.0,
            "graph.schedule.table_rate": 0.0,
        },
        on={
            "graph.model.encoder": "late", "graph.model.dim": 512, "graph.loss.next_item_weight": 0.0,
            "graph.loss.target_weight": 1.0, "graph.loss.infomax_weight": 0.0, "graph.loss.align_weight": 0.0,
        },
    ),
    AblatedPart(
        "item_graphs", "propagation over the two graphs of items",
        off={"graph.model.item_graphs": False}, on={"graph.model.item_graphs": True},
        needs=ATTENTION,
    ),
    AblatedPart(
        "attribute_graph", "propagation over the graph of items and attributes",
        off={"graph.model.attribute_graph": False}, on={"graph.model.attribute_graph": True},
        needs=ATTENTION,
    ),
    AblatedPart(
        "alignment", "the loss that draws an item's two halves together",
        off={"graph.loss.align_weight": 0.0}, on={"graph.loss.align_weight": 0.3},
        needs=ATTENTION,
    ),
    AblatedPart(
        "infomax", "the losses that tell true histories from corrupted ones",
        off={"graph.loss.infomax_weight": 0.0}, on={"graph.loss.infomax_weight": 0.3},
        needs=ATTENTION,
    ),
    AblatedPart(
        "text", "item tables that start from words; off: from noise, and learnt",
        off={"graph.model.initial": "normal", "graph.model.init_scale": 0.1, "graph.schedule.table_rate": 1.0},
        on={"graph.model.initial": "text", "graph.model.init_scale": 1.0},
        needs=ATTENTION,
    ),
    AblatedPart(
        "late_words", "the table of words that items vote by; off: who has what alone",
        off={"graph.model.late_words": False}, on={"graph.model.late_words": True},
        needs=LATE,
    ),
    AblatedPart(
        "evidence", "what the co-occurrence and word graphs say, added to the encoders' scores",
        off={"graph.model.evidence": False, "graph.loss.fused_weight": 0.0},
        on={"graph.model.evidence": True, "graph.loss.fused_weight": 1.0},
    ),
    AblatedPart(
        "evidence_near", "the evidence's companions of the history",
        off={"graph.model.evidence_near": False}, on={"graph.model.evidence_near": True},
        needs=EVIDENCE,
    ),
    AblatedPart(
        "evidence_words", "the evidence's likeness of words",
        off={"graph.model.evidence_words": False}, on={"graph.model.evidence_words": True},
        needs=EVIDENCE,
    ),
    AblatedPart(
        "evidence_floor", "the evidence's popularity, of which every item has some",
        off={"graph.model.evidence_floor": False}, on={"graph.model.evidence_floor": True},
        needs=EVIDENCE,
    ),
    AblatedPart(
        "evidence_time", "what sold before the moment of the question, in the evidence",
        off={"graph.model.evidence_time": False}, on={"graph.model.evidence_time": True},
        needs=EVIDENCE, why_not_of=_needs_times,
    ),
    AblatedPart(
        "time", "times of sales in the ranking: `recent`, counts and ages",
        off={"evaluation.clock": False}, on={"evaluation.clock": True}, why_not_of=_needs_times,
    ),
    AblatedPart(
        "one_domain_users", "users of one domain, who teach",
        off={"pair.graph_users": "none"}, on={"pair.graph_users": "one_domain"},
        why_not_of=_needs_one_domain,
    ),
    AblatedPart(
        "twins", "a user's samples of one history, all learnt from; off: one of them",
        off={"graph.loss.twins": "one"}, on={"graph.loss.twins": "both"}, why_not_of=_needs_twins,
    ),
)  # fmt: skip


def parts_named(names: str | None) -> tuple[AblatedPart, ...]:
    """The parts of a list with commas, in the table's order; all of them where none is given."""
    if names is None:
        return PARTS
    asked = [name.strip() for name in names.split(",")]
    known = [part.name for part in PARTS]
    for name in asked:
        if name not in known:
            raise InputError(f"--parts {names}: no part {name!r}; the parts are {', '.join(known)}")
        if asked.count(name) > 1:
            raise InputError(f"--parts {names}: {name} is given twice")
    return tuple(part for part in PARTS if part.name in asked)


def words_of(switched: Mapping[str, Value]) -> list[str]:
    """Keys and values as words of a command."""
    return [f"--{key}={_word(value)}" for key, value in switched.items()]


def without(overrides: Sequence[str], switched: Mapping[str, Value]) -> list[str]:
    """The words of a command that give none of these keys."""
    return [word for word in overrides if word.removeprefix("--").partition("=")[0] not in switched]


def value_of(recipe: Recipe, key: str) -> Any:  # Any: whatever a field holds
    """A recipe's value of a dotted key."""
    section, *names = key.split(".")
    value = recipe.sections[section]
    for name in names:
        value = getattr(value, name)
    return value


def _word(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
