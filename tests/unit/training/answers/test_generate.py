"""The stage's body on a tiny run: every sample answered, parts that survive a kill, titles only where asked."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from evaluation.ranked_lists import NO_ITEM, read_lists
from launch.artifacts import read_json, sha256_file
from launch.errors import InputError
from pairs.tables import load_pair, load_samples
from tests.tiny_generation import ALONE, CONSTRAINED, FREE, generate_alone, parts_alone, write_answerable_run
from training.answers.config import GenerationConfig
from training.answers.parts import plan_batches, read_prompts

FILES = ("lists/llm_valid.parquet", "lists/llm_test.parquet", "generated/generation.json")


@pytest.fixture(scope="module")
def answerable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("answerable") / "run"
    write_answerable_run(folder)
    return folder


@pytest.fixture(scope="module")
def free_run(answerable: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generated(answerable, tmp_path_factory.mktemp("free"), FREE)


@pytest.fixture(scope="module")
def constrained_run(answerable: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generated(answerable, tmp_path_factory.mktemp("constrained"), CONSTRAINED)


def generated(answerable: Path, folder: Path, config: GenerationConfig) -> Path:
    shutil.copytree(answerable, folder / "run")
    generate_alone(config, folder / "run")
    return folder / "run"


def digests(run_dir: Path) -> dict[str, str]:
    return {name: sha256_file(run_dir / name) for name in FILES}


@pytest.mark.parametrize("run", ["free_run", "constrained_run"])
def test_every_sample_is_answered_once_with_items_of_its_domain(run: str, request: pytest.FixtureRequest) -> None:
    run_dir: Path = request.getfixturevalue(run)
    items = load_pair(run_dir).items
    for split in ("valid", "test"):
        lists, samples = read_lists(run_dir / f"lists/llm_{split}.parquet"), load_samples(run_dir, split)
        assert np.array_equal(np.sort(lists.sample), np.sort(samples.sample))
        asked = samples.domain[samples.row_of(lists.sample)]
        there = lists.items != NO_ITEM
        assert (items.domain[lists.items] == asked[:, None])[there].all()
        falls = lists.scores[:, 1:] < lists.scores[:, :-1]
        assert falls[there[:, 1:]].all()


def test_constrained_texts_are_titles_of_the_asked_domain(constrained_run: Path) -> None:
    items = load_pair(constrained_run).items
    samples = load_samples(constrained_run, "test")
    table = pq.read_table(constrained_run / "lists/llm_test.parquet").to_pylist()
    for row in table:
        asked = samples.domain[samples.row_of(np.array([row["sample"]]))][0]
        titles = {items.titles[item] for item in items.ids(int(asked))}
        assert len(row["texts"]) == CONSTRAINED.num_beams
        assert set(row["texts"]) <= titles
        assert all(row["in_domain"])
        assert row["items"][: len(row["texts"])] == row["grounded"]
        assert row["text_scores"] == sorted(row["text_scores"], reverse=True)
    facts = read_json(constrained_run / "generated/generation.json")
    assert facts["splits"]["test"]["out_of_domain"] == 0


def test_free_texts_report_how_often_they_leave_the_domain(free_run: Path) -> None:
    rows = pq.read_table(free_run / "lists/llm_test.parquet").to_pylist()
    inside = [flag for row in rows for flag in row["in_domain"]]
    facts = read_json(free_run / "generated/generation.json")["splits"]["test"]
    assert facts["num_texts"] == len(inside) == len(rows) * FREE.num_beams
    assert facts["out_of_domain"] == pytest.approx(1 - np.mean(inside))
    assert facts["out_of_domain_any_of_5"] == pytest.approx(np.mean([not all(row["in_domain"]) for row in rows]))
    assert 0 < facts["out_of_domain"] < 1


@pytest.mark.parametrize("config", [FREE, CONSTRAINED], ids=["free", "constrained"])
def test_one_prompt_at_a_time_gives_the_same_answers(
    config: GenerationConfig, answerable: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Padding and company in a batch change nothing but float rounding."""
    batched: Path = request.getfixturevalue(f"{config.mode}_run")
    single = generated(answerable, tmp_path, replace(config, batch_tokens=1))
    for name in FILES[:2]:
        alone, together = pq.read_table(single / name), pq.read_table(batched / name)
        for column in ("sample", "items", "texts", "grounded", "in_domain"):
            assert alone[column].to_pylist() == together[column].to_pylist()
        for column in ("scores", "text_scores"):
            np.testing.assert_allclose(
                alone[column].combine_chunks().flatten(), together[column].combine_chunks().flatten(), rtol=1e-4
            )


def test_a_killed_run_goes_on_and_ends_in_the_same_bytes(answerable: Path, free_run: Path, tmp_path: Path) -> None:
    """What a kill leaves: some parts, none half-written; they are not made again."""
    shutil.copytree(answerable, tmp_path / "run")
    parts = parts_alone(FREE, tmp_path / "run", "valid")
    assert len(parts) > 2
    for part in parts[::2]:
        part.unlink()
    sealed = {path: path.stat().st_ino for path in parts[1::2]}
    assert parts_alone(FREE, tmp_path / "run", "valid") == parts
    assert {path: path.stat().st_ino for path in sealed} == sealed
    generate_alone(FREE, tmp_path / "run")
    assert digests(tmp_path / "run") == digests(free_run)
    assert not list((tmp_path / "run/generated/parts").iterdir())


def test_a_start_with_other_batches_keeps_the_parts_that_are_there(
    answerable: Path, free_run: Path, tmp_path: Path
) -> None:
    shutil.copytree(answerable, tmp_path / "run")
    parts = parts_alone(FREE, tmp_path / "run", "valid")
    for part in parts[::2]:
        part.unlink()
    sealed = {path: path.stat().st_ino for path in parts[1::2]}
    other = replace(FREE, batch_tokens=FREE.batch_tokens // 2, part_batches=3)
    assert set(sealed) < set(parts_alone(other, tmp_path / "run", "valid"))
    assert {path: path.stat().st_ino for path in sealed} == sealed
    generate_alone(other, tmp_path / "run")
    table, whole = (pq.read_table(folder / FILES[0]) for folder in (tmp_path / "run", free_run))
    for column in ("sample", "items", "texts", "grounded", "in_domain"):
        assert table[column].to_pylist() == whole[column].to_pylist()


def test_a_split_that_was_written_whole_is_not_answered_again(answerable: Path, free_run: Path, tmp_path: Path) -> None:
    shutil.copytree(answerable, tmp_path / "run")
    (tmp_path / "run/lists").mkdir()
    kept = Path(shutil.copy2(free_run / FILES[0], tmp_path / "run" / FILES[0]))
    before = kept.stat().st_ino
    generate_alone(FREE, tmp_path / "run")
    assert kept.stat().st_ino == before
    assert digests(tmp_path / "run") == digests(free_run)


def test_titles_are_ranked_by_probability_and_free_text_by_its_mean_token() -> None:
    assert GenerationConfig(mode="constrained").resolved_length_penalty == 0
    assert GenerationConfig(mode="free").resolved_length_penalty == 1
    assert GenerationConfig(mode="free", length_penalty=0.0).resolved_length_penalty == 0


def test_batches_hold_every_prompt_once_within_the_token_budget() -> None:
    lengths = np.array([5, 90, 12, 12, 40, 7, 33])
    falling = np.sort(lengths)[::-1]
    batches = plan_batches(falling, range(7), batch_tokens=40)
    assert batches == [range(1), range(1, 2), range(2, 3), range(3, 6), range(6, 7)]
    assert plan_batches(falling, range(3, 5), batch_tokens=40) == [range(3, 5)], "no further than it is asked for"


def test_a_subset_is_drawn_by_the_seed(answerable: Path) -> None:
    first = read_prompts(answerable, "test", max_samples=5, seed=1)
    again = read_prompts(answerable, "test", max_samples=5, seed=1)
    other = read_prompts(answerable, "test", max_samples=5, seed=2)
    assert len(first.sample) == 5
    assert np.array_equal(first.sample, again.sample)
    assert not np.array_equal(first.sample, other.sample)


def test_prompts_are_read_without_their_answers(answerable: Path) -> None:
    prompts = read_prompts(answerable, "valid", max_samples=None, seed=1)
    tables = load_samples(answerable, "valid")
    assert np.array_equal(np.sort(prompts.sample), np.sort(tables.sample))
    import datasets

    written = datasets.load_from_disk(str(answerable / "prompts/valid"))
    expected = [written[row]["input_ids"][: written[row]["prompt_length"]] for row in (3, 0)]
    assert prompts.prompts(np.array([3, 0])) == expected


def test_a_run_without_a_model_is_refused_in_one_line(tmp_path: Path) -> None:
    from tests.tiny_prompts import write_tiny_run

    write_tiny_run(tmp_path / "run")
    with pytest.raises(InputError, match=r"llm/model: no tuned model; run `kinrec finetune` first"):
        generate_alone(FREE, tmp_path / "run")
    assert ALONE.is_main


def test_rescored_beams_are_the_same_texts_in_another_order(
    answerable: Path, constrained_run: Path, tmp_path: Path
) -> None:
    other = generated(answerable, tmp_path, replace(CONSTRAINED, rescore=True, prior_weight=1.0))
    assert read_json(other / FILES[2])["rescored_by"] == 1.0
    assert read_json(constrained_run / FILES[2])["rescored_by"] is None
    texts, others = (pq.read_table(run / FILES[1])["texts"].to_pylist() for run in (constrained_run, other))
    assert [sorted(row) for row in others] == [sorted(row) for row in texts]
    assert others != texts
