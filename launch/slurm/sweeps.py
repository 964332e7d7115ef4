"""Sweeps: each combination of `--sweep key=a,b,c` and `--seeds 1,2,3` is a run of its own below one folder."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from launch.config import OF_NO_STAGE
from launch.errors import InputError
from launch.options.fields import MarkedField

MOST_RUNS = 1000
"""SLURM's usual bound of an array is 1001 tasks."""


@dataclass(frozen=True)
class Variant:
    """One combination: the name of its run's folder, and the words that make it of the recipe."""

    name: str
    overrides: tuple[str, ...]


def variants(sweeps: Sequence[str], seeds: str | None, known: Mapping[str, MarkedField]) -> list[Variant]:
    """Every combination, in the order given; InputError for a key that decides nothing, twice given, or too many."""
    axes = [_axis(word, known) for word in sweeps]
    if seeds is not None:
        axes.append(("seed", _values("--seeds", seeds)))
    keys = [key for key, _ in axes]
    if len(set(keys)) < len(keys):
        raise InputError(f"a sweep gives one key twice: {', '.join(keys)}")
    short = [key.rpartition(".")[2] for key in keys]
    labels = short if len(set(short)) == len(short) else keys
    made = []
    for chosen in itertools.product(*(values for _, values in axes)):
        parts = [f"{label}-{_word(value)}" for label, value in zip(labels, chosen, strict=True)]
        overrides = tuple(f"--{key}={value}" for key, value in zip(keys, chosen, strict=True))
        made.append(Variant("_".join(parts), overrides))
    if len(made) > MOST_RUNS:
        raise InputError(f"a sweep of {len(made)} runs; an array has at most {MOST_RUNS}")
    names = [variant.name for variant in made]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"a sweep gives two runs of one name, {twice}: a value is given twice, or two differ by signs")
    return made


def _axis(word: str, known: Mapping[str, MarkedField]) -> tuple[str, list[str]]:
    key, equals, text = word.partition("=")
    if not equals:
        raise InputError(f"--sweep {word}: not of the form section.key=a,b,c")
    if key not in known or key.partition(".")[0] in OF_NO_STAGE:
        raise InputError(f"--sweep {key}: no key of a stage's section")
    mark = known[key].mark
    if mark is not None and not mark.decides:
        raise InputError(f"--sweep {key}: this key decides no result, all runs would be the same")
    return key, _values(f"--sweep {key}", text)


def _values(name: str, text: str) -> list[str]:
    """Split at commas outside of brackets."""
    values = [value.strip() for value in re.split(r",(?![^\[]*\])", text)]
    if not all(values):
        raise InputError(f"{name}: an empty value in {text!r}")
    return values


def _word(value: str) -> str:
    """A value as part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9.+]+", "-", value).strip("-.") or "value"
