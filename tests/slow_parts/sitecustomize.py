"""Makes parts of KinRec slow in every process that finds this on its path, and leaves a mark when one is entered.

    KINREC_TEST_SLOW="module:function=SECONDS ..."  KINREC_TEST_MARKS=FOLDER

So a test can send a signal just then. Nothing else changes: the parts do what they do, after the seconds.
"""

import functools
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

Function = Callable[..., Any]  # Any: whatever is slowed


def slowed(function: Function, seconds: float, mark: Path) -> Function:
    """`function` after a mark and some seconds."""

    @functools.wraps(function)
    def slow(*arguments: Any, **named: Any) -> Any:
        mark.touch()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.05)
        return function(*arguments, **named)

    return slow


class Slowing:
    """Finds modules as the others do, and slows their functions once they are loaded."""

    def __init__(self, parts: dict[str, list[tuple[str, float]]]) -> None:
        self.parts = parts

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module as it is, to be changed when it has been loaded."""
        if name not in self.parts:
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        assert spec is not None
        loader: Any = spec.loader
        load = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            self.slow_down(module)

        loader.exec_module = exec_module
        return spec

    def slow_down(self, module: ModuleType) -> None:
        """Put slow functions in the place of those that were named."""
        for function, seconds in self.parts[module.__name__]:
            *owners, last = function.split(".")
            owner: Any = functools.reduce(getattr, owners, module)
            mark = Path(os.environ["KINREC_TEST_MARKS"]) / f"{last}-{os.environ.get('RANK', 'x')}"
            setattr(owner, last, slowed(getattr(owner, last), seconds, mark))


def main() -> None:
    """Slow what the environment names."""
    parts: dict[str, list[tuple[str, float]]] = {}
    for word in os.environ.get("KINREC_TEST_SLOW", "").split():
        name, _, seconds = word.partition("=")
        module, _, function = name.partition(":")
        parts.setdefault(module, []).append((function, float(seconds)))
    if parts:
        sys.meta_path.insert(0, Slowing(parts))


main()
