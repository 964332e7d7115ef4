"""Jobs that are queued keep the recipe that they were submitted with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from launch.config import find_recipe, load_recipe
from launch.errors import InputError
from launch.pipeline import SUBMITTED
from launch.slurm.live_jobs import LiveJob
from launch.slurm.submission import Submission

LIVE = {"pretrain": [LiveJob("7", None, "PENDING", "Priority")]}
Plain = dict[str, Any]  # Any: plain YAML values


@pytest.fixture
def submitted(tmp_path: Path) -> Callable[..., Submission]:
    """The demo, submitted by a KinRec whose file of it is edited; now with some overrides."""

    def submit(edit: Callable[[Plain], object], *overrides: str) -> Submission:
        before = load_recipe(find_recipe("demo")).resolved()
        edit(before)
        (tmp_path / SUBMITTED).parent.mkdir(exist_ok=True)
        (tmp_path / SUBMITTED).write_text(yaml.safe_dump(before), encoding="utf-8")
        return Submission(tmp_path, [tmp_path], [load_recipe(find_recipe("demo"), list(overrides))], None)

    return submit


def test_a_key_that_was_not_known_then_was_at_its_default(submitted: Callable[..., Submission]) -> None:
    def forget(before: Plain) -> None:
        del before["graph"]["held_out_lists"], before["generation"]["rescore"], before["llm"]["scratch"]["num_heads"]

    submitted(forget).check_unchanged(LIVE)
    with pytest.raises(InputError, match=r"graph\.held_out_lists differs .* jobs 7"):
        submitted(forget, "--graph.held_out_lists=50").check_unchanged(LIVE)


def test_what_decides_is_as_it_was(submitted: Callable[..., Submission]) -> None:
    submitted(lambda _: None, "--launch.threads=2", "--llm.log_every=3").check_unchanged(LIVE)
    for override, key in (("--llm.lr=1", "llm.lr"), ("--llm.scratch.num_layers=1", "llm.scratch.num_layers")):
        with pytest.raises(InputError, match=key):
            submitted(lambda _: None, override).check_unchanged(LIVE)
    submitted(lambda _: None, "--llm.lr=1").check_unchanged({})
