"""Overrides of a recipe's keys, `--section.key=value`: each names one key in full."""

import re
from collections.abc import Mapping, Sequence

from launch.errors import InputError
from launch.options.fields import MarkedField
from launch.options.keys import unknown_key


def check_overrides(overrides: Sequence[str], known: Mapping[str, MarkedField]) -> None:
    """Each names one key in full: argparse would take the beginning of one, and a section's name for a file's."""
    for word in overrides:
        given = re.fullmatch(r"--([\w.]+)=.*", word, flags=re.DOTALL)
        if not given:
            raise InputError(f"override {word!r} is not of the form --section.key=value")
        name = given[1]
        if name not in known:
            if any(other.startswith(f"{name}.") for other in known):
                raise InputError(f"override {word!r} names a section; give one key of it: --{name}.key=value")
            raise unknown_key(name, known)
