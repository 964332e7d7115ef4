"""Checks of a recipe's files that need heavy libraries, in a process of their own.

python -m launch.doctor.examine_probe RECIPE OVERRIDES module:function ...
"""

import importlib
import inspect
import json
import logging
import sys
from pathlib import Path

from launch.config import load_recipe
from launch.errors import one_line
from launch.processes.children import answer


def main() -> None:
    """Run each check and say what it found; a fault of ours is a traceback, which the doctor shows the end of."""
    path, overrides, *references = sys.argv[1:]
    logging.disable(logging.WARNING)
    recipe = load_recipe(Path(path), json.loads(overrides))
    for reference in references:
        module, _, name = reference.partition(":")
        function = getattr(importlib.import_module(module), name)
        check = name.partition("_")[2].replace("_", " ")
        try:
            told = function(recipe)
        except Exception as error:
            line = one_line(error)
            if line is None:
                raise
            answer(check=check, text=line, problem=True)
        else:
            answer(check=check, text=told or (inspect.getdoc(function) or "").split("\n")[0], problem=False)


if __name__ == "__main__":
    main()
