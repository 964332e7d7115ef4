"""States: what holds is skipped, what changed is stale, and every command gives the same answer."""

import fcntl
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from launch.errors import InputError
from launch.options.fields import Means
from launch.stage import Job, open_stage
from launch.stages import STAGES, stage_named
from launch.state.manifests import make_intent
from launch.state.starts import begin, finish
from launch.state.states import check_finished, recipe_of, state_of, states_of
from launch.status.status import render_status
from tests.unit.launch.state.stage_runs import PREPARE, PRETRAIN, RETRIEVE, Config, intent, job, run_all, why_not, write

EVALUATE = stage_named("evaluate")


def test_finished_stage_holds(tmp_path: Path) -> None:
    run_all(tmp_path)
    assert why_not(tmp_path, PRETRAIN) is None


def test_changed_configuration_names_the_key(tmp_path: Path) -> None:
    run_all(tmp_path)
    assert why_not(tmp_path, PRETRAIN, width=2) == "graph.width was 1, now 2"


def test_changed_seed_is_named(tmp_path: Path) -> None:
    run_all(tmp_path)
    assert why_not(tmp_path, PRETRAIN, seed=2) == "its seed was 1, now 2"


def test_new_version_of_a_stages_results_makes_old_ones_stale(tmp_path: Path) -> None:
    run_all(tmp_path)
    path = tmp_path / "manifests" / "pretrain.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 0}))
    assert "other results" in str(why_not(tmp_path, PRETRAIN))


def test_new_upstream_content_makes_downstream_stale(tmp_path: Path) -> None:
    run_all(tmp_path)
    with open_stage(job(tmp_path, "prepare")):
        write(tmp_path, "pair/items.parquet", "other")
    assert why_not(tmp_path, PRETRAIN) == "what prepare wrote has changed since"


def test_same_upstream_content_keeps_downstream(tmp_path: Path) -> None:
    run_all(tmp_path)
    with open_stage(job(tmp_path, "prepare", width=2)):
        write(tmp_path, "pair/items.parquet", "items")
    assert why_not(tmp_path, PRETRAIN, upstream_width=2) is None


def test_stage_below_a_stale_one_is_stale(tmp_path: Path) -> None:
    run_all(tmp_path)
    assert why_not(tmp_path, PRETRAIN, upstream_width=2) == "prepare, which it read, is stale"


def test_edited_file_of_equal_size_is_seen(tmp_path: Path) -> None:
    run_all(tmp_path)
    write(tmp_path, "pair/items.parquet", "ITEMS")
    assert why_not(tmp_path, PREPARE) == "pair/items.parquet has other content than was written"


def test_file_of_another_size_or_none_is_seen_whatever_its_time(tmp_path: Path) -> None:
    run_all(tmp_path)
    path = tmp_path / "pair/items.parquet"
    was = path.stat()
    write(tmp_path, "pair/items.parquet", "items and more")
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert why_not(tmp_path, PREPARE) == "pair/items.parquet has 14 bytes, was written with 5"
    path.unlink()
    assert why_not(tmp_path, PREPARE) == "pair/items.parquet is gone"


def test_a_finished_stage_has_no_record_of_its_start(tmp_path: Path) -> None:
    run_all(tmp_path)
    assert sorted(path.name for path in (tmp_path / "manifests").iterdir()) == ["prepare.json", "pretrain.json"]


def test_touched_file_of_equal_content_still_holds(tmp_path: Path) -> None:
    run_all(tmp_path)
    os.utime(tmp_path / "pair/items.parquet", (1, 1))
    assert why_not(tmp_path, PREPARE) is None


def test_stale_artifact_is_refused_by_the_stage_that_reads_it(tmp_path: Path) -> None:
    run_all(tmp_path)
    write(tmp_path, "pair/items.parquet", "edited")
    with pytest.raises(InputError, match=r"prepare is stale: pair/items"), open_stage(job(tmp_path, "pretrain")):
        pass


def test_stage_two_steps_down_refuses_a_stale_middle(tmp_path: Path) -> None:
    run_all(tmp_path)
    with open_stage(job(tmp_path, "prepare")):
        write(tmp_path, "pair/items.parquet", "other")
    with pytest.raises(InputError, match="pretrain is stale"), open_stage(job(tmp_path, "retrieve")):
        pass


def test_missing_upstream_is_refused(tmp_path: Path) -> None:
    expected = pytest.raises(InputError, match=r"prepare has not finished; run `kinrec prepare`")
    with expected, open_stage(job(tmp_path, "pretrain")):
        pass


def test_changed_raw_file_makes_prepare_stale_and_one_that_is_gone_does_not(tmp_path: Path) -> None:
    write(tmp_path, "outside.txt", "raw")
    wanted = intent(tmp_path, PREPARE)
    begin(tmp_path, PREPARE, wanted)
    finish(tmp_path, PREPARE, wanted, external=[tmp_path / "outside.txt"], facts={"seconds": 0.0, "world_size": 1})
    assert why_not(tmp_path, PREPARE) is None
    write(tmp_path, "outside.txt", "new")
    assert "outside.txt has changed" in str(why_not(tmp_path, PREPARE))
    (tmp_path / "outside.txt").unlink()
    assert why_not(tmp_path, PREPARE) is None


def test_raw_files_are_no_concern_of_the_stages_below(tmp_path: Path) -> None:
    write(tmp_path, "outside.txt", "raw")
    wanted = intent(tmp_path, PREPARE)
    begin(tmp_path, PREPARE, wanted)
    finish(tmp_path, PREPARE, wanted, external=[tmp_path / "outside.txt"], facts={"seconds": 0.0, "world_size": 1})
    write(tmp_path, "outside.txt", "new")
    with open_stage(job(tmp_path, "pretrain")):
        write(tmp_path, "graph/model.safetensors", "weights")


def test_running_and_stopped_are_told_apart_by_the_lock(tmp_path: Path) -> None:
    run_all(tmp_path)
    begin(tmp_path, PRETRAIN, intent(tmp_path, PRETRAIN, width=2))
    assert state_of(tmp_path, PRETRAIN).kind == "stopped"
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # as every process at work does
        assert state_of(tmp_path, PRETRAIN).kind == "running"
    assert state_of(tmp_path, RETRIEVE).kind == "absent"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"seed": 1}', '{"config": 1, "seed": "x"}', "\x00", "[" * 9999])
@pytest.mark.parametrize("name", ["pretrain.json", "pretrain.started.json"])
def test_damaged_records_mean_not_finished(
    tmp_path: Path, content: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    run_all(tmp_path)
    (tmp_path / "manifests" / "pretrain.json").unlink()
    (tmp_path / "manifests" / name).write_text(content)
    assert not state_of(tmp_path, PRETRAIN).holds
    with open_stage(job(tmp_path, "pretrain")):
        write(tmp_path, "graph/model.safetensors", "weights")
    assert why_not(tmp_path, PRETRAIN) is None
    assert f"{name} is damaged" in caplog.text


@pytest.mark.parametrize("content", ["", "a: [", "- 1", "name: 3", "{" * 999])
def test_damaged_recipe_is_said_in_a_line_by_status_and_recommend(tmp_path: Path, content: str) -> None:
    run_all(tmp_path)
    write(tmp_path, "recipe.yaml", content)
    assert "recipe.yaml is damaged" in render_status(tmp_path).splitlines()[0]
    with pytest.raises(InputError, match=r"recipe\.yaml: damaged; run the recipe again with --run_dir="):
        check_finished(tmp_path)


def test_status_says_what_the_run_says(tmp_path: Path) -> None:
    run_all(tmp_path)
    sections = {stage.section: "{width: 1}" for stage in STAGES}
    sections["graph"] = "{width: 5}"
    write(tmp_path, "recipe.yaml", "seed: 1\n" + "".join(f"{key}: {text}\n" for key, text in sections.items()))
    write(tmp_path, "report/metrics.json", "{}")
    shown = render_status(tmp_path)
    assert "stale: graph.width was 1, now 5" in shown
    assert state_of(tmp_path, PRETRAIN, recipe_of(tmp_path)).why in shown
    assert "hr@10" not in shown, "figures that do not hold are no headline"


def test_recommend_names_what_is_stale_and_the_command_that_mends_it(tmp_path: Path) -> None:
    run_all(tmp_path)
    write(tmp_path, "recipe.yaml", "seed: 1\n" + "".join(f"{stage.section}: {{width: 1}}\n" for stage in STAGES))
    write(tmp_path, "pair/items.parquet", "ITEMS")
    with pytest.raises(InputError, match=rf"prepare is stale: pair/items.*; run `kinrec run {tmp_path}/recipe\.yaml`"):
        check_finished(tmp_path)


@dataclass(frozen=True)
class Parts:
    """A configuration inside another, with a field that only says how."""

    inner: Config = field(default_factory=Config)
    threads: Means[int] = 1


def test_how_a_stage_works_makes_nothing_stale_and_what_it_makes_does(tmp_path: Path) -> None:
    def parts_intent(parts: Parts) -> dict[str, object]:
        return make_intent(tmp_path, PREPARE, config=parts, seed=1).as_json()

    assert parts_intent(Parts()) == parts_intent(Parts(threads=8))
    assert parts_intent(Parts()) != parts_intent(Parts(inner=Config(2)))
    with open_stage(Job(stage=PREPARE, config=Parts(), seed=1, run_dir=tmp_path, recipe_name="r")):
        write(tmp_path, "pair/items.parquet", "items")
    manifest = json.loads((tmp_path / "manifests" / "prepare.json").read_text())
    assert manifest["config"] == {"inner": {"width": 1}}


def test_evaluate_does_without_the_llm_and_becomes_stale_when_it_comes(tmp_path: Path) -> None:
    run_all(tmp_path)
    with open_stage(job(tmp_path, "evaluate")):
        write(tmp_path, "report/metrics.json", "{}")
    assert states_of(tmp_path)["evaluate"].kind == "finished"
    with open_stage(job(tmp_path, "retrieve")):
        write(tmp_path, "neighbours/quality.json", "{}")
    assert state_of(tmp_path, EVALUATE).why == "what retrieve wrote has changed since"


def test_an_optional_input_that_is_stale_counts_as_absent(tmp_path: Path) -> None:
    run_all(tmp_path)
    with open_stage(job(tmp_path, "retrieve")):
        write(tmp_path, "neighbours/quality.json", "{}")
    write(tmp_path, "neighbours/quality.json", "[]")
    with open_stage(job(tmp_path, "evaluate")):
        write(tmp_path, "report/metrics.json", "{}")
    inputs = json.loads((tmp_path / "manifests" / "evaluate.json").read_text())["inputs"]
    assert inputs["retrieve"] == "absent"
    assert inputs["pretrain"] != "absent"


def test_manifest_says_where_a_result_comes_from(tmp_path: Path) -> None:
    run_all(tmp_path)
    manifest = json.loads((tmp_path / "manifests" / "pretrain.json").read_text())
    assert {"finished", "commit", "versions", "host", "platform", "device", "world_size", "seconds"} <= set(manifest)
    assert {"python", "torch", "numpy", "deepspeed"} <= set(manifest["versions"])
    assert len(str(manifest["commit"]).rstrip("+")) == 40
