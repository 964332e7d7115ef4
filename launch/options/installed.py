"""`where_installed` of a recipe: for each package, sections whose keys hold where Python has that package.

A recipe that would rather train a pretrained model than one from scratch so does where the model's package is there,
and still runs where it is not. Overrides are laid over either; the run's own recipe.yaml holds what came of it.
"""

import importlib.util
from collections.abc import Collection, Mapping
from typing import Any

from launch.errors import InputError

KEY = "where_installed"


def packages_of(text: Mapping[str, Any], sections: Collection[str]) -> dict[str, dict[str, Any]]:  # Any: YAML values
    """The sections that a recipe has for each package; InputError for what is no package or no section of a recipe."""
    if KEY not in text:
        return {}
    packages = text[KEY]
    if not isinstance(packages, dict) or not packages:
        raise InputError(f"{KEY} must hold packages and their sections, {{package: {{section: {{key: value}}}}}}")
    for package, over in packages.items():
        where = f"{KEY}.{package}"
        if not isinstance(package, str) or not package.isidentifier():
            raise InputError(f"{where}: not the name under which Python imports a package")
        if not isinstance(over, dict) or not over:
            raise InputError(f"{where} must hold sections, {{section: {{key: value}}}}")
        for name in over:
            if name not in sections:
                raise InputError(f"{where}: unknown section {name!r}; there are {', '.join(sections)}")
    return packages


def is_installed(package: str) -> bool:
    """Whether Python has it, looking for it without running it. A folder that only has its name is no package."""
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # of what Python itself runs
        return False
    return spec is not None and spec.origin is not None


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`below` with the keys of `above` in their place, section by section at every depth."""
    both = dict(below)
    for key, value in above.items():
        under = both.get(key)
        both[key] = merged(under, value) if isinstance(value, dict) and isinstance(under, dict) else value
    return both
