"""Sharing: a run takes over what another has finished from just the same words, and never anything else."""

import os
import shutil
from pathlib import Path

import pytest

from launch.state.sharing import sharable, share
from launch.state.states import PlainRecipe
from tests.unit.launch.state.stage_runs import PREPARE, PRETRAIN, run_all, why_not, write


def told(*, pair: int = 1, graph: int = 1, seed: int = 1) -> PlainRecipe:
    widths = {"pair": pair, "graph": graph, "retrieval": 1, "prompts": 1, "llm": 1, "generation": 1, "evaluation": 1}
    return PlainRecipe(seed, {section: {"width": width} for section, width in widths.items()})


def test_stages_up_to_the_first_change_are_shared(tmp_path: Path) -> None:
    base, other = tmp_path / "base", tmp_path / "other"
    run_all(base)
    assert sharable(base, other, told()) == ["prepare", "pretrain"]
    assert sharable(base, other, told(graph=2)) == ["prepare"]
    assert sharable(base, other, told(pair=2)) == []
    assert sharable(base, other, told(seed=2)) == []
    assert not other.exists()


def test_what_was_shared_holds_and_belongs_to_both(tmp_path: Path) -> None:
    base, other = tmp_path / "base", tmp_path / "other"
    run_all(base)
    assert share(base, other, told()) == ["prepare", "pretrain"]
    assert why_not(other, PRETRAIN) is None
    assert (other / "pair/items.parquet").samefile(base / "pair/items.parquet")
    run_all(other, "anew", width=2)  # what one makes anew leaves the other as it is
    assert why_not(base, PRETRAIN) is None
    assert (base / "pair/items.parquet").read_text(encoding="utf-8") == "items"


def test_only_the_stages_that_are_asked_for_are_shared(tmp_path: Path) -> None:
    base, other = tmp_path / "base", tmp_path / "other"
    run_all(base)
    assert share(base, other, told(), stages=[PREPARE]) == ["prepare"]
    assert not (other / "manifests" / "pretrain.json").exists()
    assert sharable(base, other, told()) == ["pretrain"]


def test_copies_do_where_there_are_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, other = tmp_path / "base", tmp_path / "other"
    run_all(base)

    def refuse(source: Path, goal: Path) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    share(base, other, told())
    assert why_not(other, PRETRAIN) is None
    assert not (other / "pair/items.parquet").samefile(base / "pair/items.parquet")


def test_a_stage_that_has_begun_keeps_what_is_its_own(tmp_path: Path) -> None:
    base, other = tmp_path / "base", tmp_path / "other"
    run_all(base)
    run_all(other, "its own")
    assert sharable(base, other, told()) == []


def test_a_stage_on_other_data_is_not_shared(tmp_path: Path) -> None:
    """The run's own prepare wrote other files than the base's: what the base made of its own does not fit."""
    base, other = tmp_path / "base", tmp_path / "other"
    run_all(base)
    run_all(other, "its own")
    (other / "manifests" / "pretrain.json").unlink()
    assert sharable(base, other, told()) == []


def test_what_no_longer_holds_is_not_shared(tmp_path: Path) -> None:
    base, other = tmp_path / "base", tmp_path / "other"
    run_all(base)
    write(base, "graph/model.safetensors", "torn")
    assert sharable(base, other, told()) == ["prepare"]
    shutil.rmtree(base / "manifests")
    assert sharable(base, other, told()) == []
