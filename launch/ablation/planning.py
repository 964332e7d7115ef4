"""The runs of an ablation: a reference as the recipe says and, for each part, one with that part the other way.

RUN/ablate/reference, RUN/ablate/PART                   of the recipe's own seed
RUN/ablate/reference_seed-2, RUN/ablate/PART_seed-2     of another one
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from launch.ablation.parts import AblatedPart, Card, parts_named, without, words_of
from launch.config import COMMAND_LINE, Recipe, known_fields
from launch.errors import InputError
from launch.pipeline import ABLATIONS, check_folder, check_recipe, open_recipe
from launch.slurm.sweeps import variants
from launch.stages import stage_named

REFERENCE = "reference"
STAGES_OF_ABLATION = tuple(stage_named(name) for name in ("prepare", "pretrain", "evaluate"))
"""The language model is left out: it takes what the graph finds, and the time."""


@dataclass(frozen=True)
class AblationRun:
    """One run of its own."""

    name: str
    recipe: Recipe
    folder: Path
    part: AblatedPart | None = None
    """What is the other way; None: the reference."""


@dataclass(frozen=True)
class Ablation:
    """What `kinrec ablate` was asked for."""

    run_dir: Path
    """Of the recipe itself: what it has finished is taken over."""
    recipe: Recipe
    parts: Sequence[AblatedPart]
    references: Mapping[int, AblationRun]
    """By seed."""
    variants: Mapping[str, Mapping[int, AblationRun]]
    """Part -> seed -> the run with that part the other way; none for those of `why_not`."""
    why_not: Mapping[str, str]
    """Part -> why this recipe has nothing to switch."""

    @property
    def folder(self) -> Path:
        """Where its runs and its table lie."""
        return self.run_dir / ABLATIONS

    @property
    def runs(self) -> Iterator[AblationRun]:
        """All of them."""
        yield from self.references.values()
        for by_seed in self.variants.values():
            yield from by_seed.values()

    def check(self) -> None:
        """InputError for what would keep it from its work: a folder of something else, a file that is not there.

        What a switch alone asks for is seen when its run starts.
        """
        check_folder(self.recipe, self.run_dir)
        for run in self.runs:
            check_folder(run.recipe, run.folder)
        for run in self.references.values():
            check_recipe(run.recipe, run.folder, STAGES_OF_ABLATION)

    def left_out_by(self, card: Card) -> dict[str, str]:
        """Part -> why it is not switched: by the recipe, and by the card of the prepared pair."""
        by_card = {part.name: part.why_not_of(card) for part in self.parts if part.name not in self.why_not}
        return {**self.why_not, **{name: reason for name, reason in by_card.items() if reason is not None}}


def plan_ablation(
    name: str, overrides: Sequence[str], run_dir: Path | None, *, parts: str | None, seeds: str | None
) -> Ablation:
    """All runs, each recipe built and checked; nothing is written."""
    asked = parts_named(parts)
    recipe, run_dir = open_recipe(name, overrides, run_dir)
    seeded = _of_seeds(recipe, name, overrides, seeds)
    why_not, switched = {}, {}
    for part in asked:
        other = _other_way(part, recipe, name, overrides)
        if isinstance(other, str):
            why_not[part.name] = other
        else:
            switched[part.name] = other
    if not switched:
        reasons = "; ".join(f"{part}: {reason}" for part, reason in why_not.items())
        raise InputError(f"there is nothing to switch ({reasons})")

    def run_of(one: Recipe, part: AblatedPart | None = None) -> AblationRun:
        label = REFERENCE if part is None else part.name
        called = label if one.seed == recipe.seed else f"{label}_seed-{one.seed}"
        return AblationRun(called, one, run_dir / ABLATIONS / called, part)

    return Ablation(
        run_dir=run_dir,
        recipe=recipe,
        parts=asked,
        references={seed: run_of(one) for seed, one in seeded.items()},
        variants={
            part.name: {seed: run_of(dataclasses.replace(switched[part.name], seed=seed), part) for seed in seeded}
            for part in asked
            if part.name in switched
        },
        why_not=why_not,
    )


def _other_way(part: AblatedPart, recipe: Recipe, name: str, overrides: Sequence[str]) -> Recipe | str:
    """The recipe with a part the other way, or why that does not go."""
    reason = part.why_not(recipe)
    if reason is not None:
        return reason
    switched = part.switched(recipe)
    try:
        return open_recipe(name, [*without(overrides, switched), *words_of(switched)], None)[0]
    except InputError as error:  # the recipe itself is good: it is the switch that does not go with it
        return str(error).removeprefix(f"{COMMAND_LINE}: ")


def _of_seeds(recipe: Recipe, name: str, overrides: Sequence[str], seeds: str | None) -> dict[int, Recipe]:
    """The recipe by seed: its own, or each of `seeds`."""
    if seeds is None:
        return {recipe.seed: recipe}
    if any(word.startswith("--seed=") for word in overrides):
        raise InputError("--seed and --seeds are both given; keep one")
    words = [variant.overrides for variant in variants([], seeds, known_fields())]
    recipes = [open_recipe(name, [*overrides, *own], None)[0] for own in words]
    by_seed = {one.seed: one for one in recipes}
    if len(by_seed) < len(recipes):
        raise InputError(f"--seeds {seeds}: a seed is given twice")
    return by_seed
