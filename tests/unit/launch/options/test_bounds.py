"""Every whole number of every section has a bound, and every bound a field."""

from typing import get_args

from launch.options.bounds import MOST, SEEDS
from launch.options.fields import walk
from tests.unit.launch.options.test_fields import SECTIONS

FIELDS = [field for name, config in SECTIONS.items() for field in walk(config, f"{name}.")]


def test_every_whole_number_has_a_bound() -> None:
    whole = {field.name for field in FIELDS if int in (field.type, *get_args(field.type))}
    assert whole - set(MOST) == set()


def test_every_bound_has_a_field() -> None:
    assert {*MOST, *SEEDS} - {field.name for field in FIELDS} == {"seed"}
