"""A stage is started as a module, which must do something then."""

import ast
from pathlib import Path

import pytest

import launch
from launch.stages import STAGES, Stage

ROOT = Path(launch.__file__).parent.parent


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_the_module_of_a_stage_runs_when_it_is_started(stage: Stage) -> None:
    source = (ROOT / stage.module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
    last = ast.parse(source).body[-1]
    assert ast.unparse(last) == "if __name__ == '__main__':\n    main()"
