"""`kinrec ablate` before its first run: which runs there are, and what is refused, with nothing written."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from launch.ablation import command
from launch.ablation.command import holds, main, make_run, told_of
from launch.ablation.parts import PARTS, parts_named, value_of, words_of
from launch.ablation.planning import STAGES_OF_ABLATION, Ablation, plan_ablation
from launch.artifacts import write_json
from launch.config import Recipe
from launch.errors import InputError
from launch.pipeline import ABLATIONS, check_folder
from launch.stages import STAGES, Stage
from tests.end_to_end.runs import TINY

WITH_ATTENTION = words_of(parts_named("late_interaction")[0].off)


def planned(folder: Path, *overrides: str, parts: str | None = None, seeds: str | None = None) -> Ablation:
    return plan_ablation(str(TINY), overrides, folder / "run", parts=parts, seeds=seeds)


@pytest.mark.parametrize(
    ("overrides", "needs_others"),
    [([], {"item_graphs", "attribute_graph", "alignment", "infomax", "text"}), (WITH_ATTENTION, {"late_words"})],
)
def test_each_part_is_a_run_of_its_own_below_one_folder(
    tmp_path: Path, overrides: list[str], needs_others: set[str]
) -> None:
    ablation = planned(tmp_path, *overrides)
    folder = tmp_path / "run" / ABLATIONS
    own = [part.name for part in PARTS if part.name not in needs_others]
    assert [run.folder for run in ablation.runs] == [folder / "reference", *(folder / name for name in own)]
    assert set(ablation.why_not) == needs_others
    assert not (tmp_path / "run").exists()


def test_a_run_is_the_recipe_but_for_its_part(tmp_path: Path) -> None:
    own = ("--graph.loss.align_weight=0.7", "--graph.schedule.epochs=9")
    ablation = planned(tmp_path, *WITH_ATTENTION, *own, parts="alignment,time")
    aligned, timed = (ablation.variants[part][1].recipe for part in ("alignment", "time"))
    assert value_of(ablation.references[1].recipe, "graph.loss.align_weight") == 0.7
    assert value_of(aligned, "graph.loss.align_weight") == 0.0
    assert value_of(aligned, "graph.schedule.epochs") == 9
    assert timed.sections["graph"] == ablation.recipe.sections["graph"]
    assert not value_of(timed, "evaluation.clock")


def test_another_seed_is_another_run_and_the_own_seed_is_the_same(tmp_path: Path) -> None:
    ablation = planned(tmp_path, parts="time", seeds="2,1")
    assert [run.name for run in ablation.runs] == ["reference_seed-2", "reference", "time_seed-2", "time"]
    assert [run.recipe.seed for run in ablation.runs] == [2, 1, 2, 1]
    assert ablation.references[1].recipe == planned(tmp_path, parts="time").references[1].recipe


def test_the_language_model_is_left_out() -> None:
    assert [stage.name for stage in STAGES_OF_ABLATION] == ["prepare", "pretrain", "evaluate"]
    assert all(stage in STAGES for stage in STAGES_OF_ABLATION)


def test_what_a_source_does_not_allow_is_told_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "either.yaml"
    path.write_text("pair: {users: either}\n", encoding="utf-8")
    ablation = plan_ablation(str(path), WITH_ATTENTION, None, parts="one_domain_users,infomax", seeds=None)
    reason = "pair.graph_users=one_domain does not go: pair.users=either has all"
    assert ablation.why_not == {"one_domain_users": reason}
    assert list(ablation.variants) == ["infomax"]
    left_out = ablation.left_out_by({"time_range": {}, "twins": {}})
    assert left_out == ablation.why_not, "a card speaks of the parts that were asked for alone"
    with pytest.raises(InputError, match=f"nothing to switch .one_domain_users: {reason}"):
        plan_ablation(str(path), [], None, parts="one_domain_users", seeds=None)


def test_before_any_run_nothing_is_finished(tmp_path: Path) -> None:
    ablation = planned(tmp_path, parts="time,twins", seeds="1,2")
    assert not any(holds(run) for run in ablation.runs)
    told = told_of(ablation, {"twins": "no train user of the pair has twins"})
    assert told["references"] == {}
    assert [(part["part"], part["in_recipe"], part["runs"], part["waiting"]) for part in told["parts"]] == [
        ("time", True, {}, [1, 2]),
        ("twins", True, {}, []),
    ]


class Stages:
    """In place of stages: a failure of some, a card by prepare."""

    def __init__(self, fails: str, **card: object) -> None:
        self.fails, self.card = fails, card
        self.run: list[str] = []

    def __call__(self, recipe: Recipe, run_dir: Path, *, stages: Sequence[Stage]) -> None:
        for stage in stages:
            if stage.name == self.fails:
                raise InputError(f"{stage.name}: a file is not there")
            self.run.append(stage.name)
            write_json(run_dir / "pair" / "card.json", self.card)


def made(folder: Path, stages: Stages, monkeypatch: pytest.MonkeyPatch, part: str = "one_domain_users") -> str | None:
    monkeypatch.setattr(command, "run_stages", stages)
    run = planned(folder, parts=part).variants[part][1]
    reason = make_run(run, source=folder / "nothing", place="[2/2]")
    assert (run.folder / "recipe.yaml").is_file()
    return reason


def test_another_pair_that_cannot_be_made_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert made(tmp_path, Stages("prepare"), monkeypatch) == "prepare: a file is not there"
    with pytest.raises(InputError, match="prepare: a file is not there"):  # a pair as the recipe's own
        made(tmp_path, Stages("prepare"), monkeypatch, part="time")


def test_another_pair_with_nothing_to_switch_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = Stages("", graph_only_users=0)
    assert made(tmp_path, stages, monkeypatch) == "the pair has no user of one domain"
    assert stages.run == ["prepare"]
    stages = Stages("", graph_only_users=3)
    assert made(tmp_path, stages, monkeypatch) is None
    assert stages.run == ["prepare", "prepare", "pretrain", "evaluate"]


def test_a_later_stage_that_fails_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="pretrain: a file is not there"):
        made(tmp_path, Stages("pretrain", graph_only_users=3), monkeypatch)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--parts=nobody"], "no part 'nobody'"),
        (["--parts=time,"], "no part ''"),
        (["--seeds=1,x"], "seed must be a whole number"),
        (["--seeds=1,01"], "a seed is given twice"),
        (["--seeds="], "empty value"),
        (["--seeds=1,2", "--seed=3"], "--seed and --seeds are both given"),
        (["--graph.model.nothing=1"], "unknown key graph.model.nothing"),
        (["--parts=evidence_near", "--graph.model.evidence=false", "--graph.loss.fused_weight=0"], "nothing to switch"),
        (["--pair.source=tables"], "pair.reviews_x is empty"),
        (["--pair.source=released", "--pair.path=/no/such/folder", "--parts=time"], "/no/such/folder"),
        (["nonsense"], "'nonsense' is not of the form"),
    ],
)
def test_what_is_no_ablation_is_refused_and_nothing_written(tmp_path: Path, words: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        main([str(TINY), f"--run_dir={tmp_path / 'run'}", *words])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", [".", f"{ABLATIONS}/time"])
def test_a_folder_of_something_else_is_refused(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "run" / place
    folder.mkdir(parents=True)
    (folder / "thesis.tex").touch()
    with pytest.raises(InputError, match="not the folder of a run"):
        main([str(TINY), f"--run_dir={tmp_path / 'run'}", "--parts=time"])
    assert [path.name for path in (tmp_path / "run").rglob("*") if path.is_file()] == ["thesis.tex"]


def test_a_folder_with_an_ablation_alone_is_free_for_its_run(tmp_path: Path) -> None:
    recipe = planned(tmp_path, parts="time").recipe
    (tmp_path / "run" / ABLATIONS / "reference").mkdir(parents=True)
    check_folder(recipe, tmp_path / "run")
    (tmp_path / "run" / "notes").touch()
    with pytest.raises(InputError, match="not the folder of a run"):
        check_folder(recipe, tmp_path / "run")
