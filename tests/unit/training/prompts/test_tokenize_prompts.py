"""The stage that writes prompts: answers whole, the same bytes when made again, what does not fit is counted."""

from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import PreTrainedTokenizerBase

from evaluation.ranked_lists import RankedLists, write_lists
from launch.artifacts import read_json, sha256_file
from launch.errors import InputError
from launch.tracking import Tracker
from pairs.tables import SPLITS, load_pair, load_samples
from tests.tiny_prompts import CONFIG, WORDS, write_tiny_run, write_tokenized_run
from training.base_model import load_tokenizer_folder
from training.prompts.config import KindredForm
from training.prompts.pieces import answer_tokens
from training.scratch import train_tokenizer
from training.tokenize_prompts import tokenize_prompts


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    write_tokenized_run(folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(run_dir: Path) -> PreTrainedTokenizerBase:
    return load_tokenizer_folder(run_dir / "prompts" / "tokenizer")


def test_the_answer_is_never_cut(run_dir: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    items = load_pair(run_dir).items
    answers = answer_tokens(tokenizer, items.titles)
    for split in ("train", "valid"):
        samples = load_samples(run_dir, "train" if split == "train" else "valid")
        prompts = datasets.load_from_disk(str(run_dir / "prompts" / split))
        assert len(prompts) == len(samples)
        for row, target in zip(prompts, samples.target, strict=True):
            assert row["input_ids"][row["prompt_length"] :] == answers[target]


def test_train_prompts_stay_within_the_budget(run_dir: Path) -> None:
    prompts = datasets.load_from_disk(str(run_dir / "prompts" / "train"))
    lengths = [len(tokens) for tokens in prompts["input_ids"]]
    assert max(lengths) <= CONFIG.max_tokens
    assert max(lengths) > CONFIG.max_tokens - 40, "the test's budget should bind"


def test_tokenising_twice_writes_the_same_bytes(run_dir: Path, tmp_path: Path) -> None:
    write_tokenized_run(tmp_path / "again")
    assert digests(tmp_path / "again" / "prompts") == digests(run_dir / "prompts")


def digests(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): sha256_file(file) for file in folder.rglob("*") if file.is_file()}


def test_workers_write_the_same_prompts(run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.tokenize_prompts.BATCH", 16)
    write_tokenized_run(tmp_path / "two", replace(CONFIG, num_workers=2))
    one, two = (datasets.load_from_disk(str(path / "prompts" / "train")) for path in (run_dir, tmp_path / "two"))
    assert one[:] == two[:]


def test_a_sample_budget_is_drawn_by_the_seed(tmp_path: Path) -> None:
    drawn = []
    for place, seed in enumerate((1, 1, 2)):
        folder = tmp_path / str(place)
        write_tokenized_run(folder, replace(CONFIG, max_train_samples=10), seed=seed)
        drawn.append(datasets.load_from_disk(str(folder / "prompts" / "train"))["sample"][:])
        assert read_json(folder / "prompts" / "meta.json")["splits"]["train"]["samples"] == 10
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_where_a_users_prompts_begin_alike_a_budget_draws_whole_users(tmp_path: Path) -> None:
    write_tokenized_run(tmp_path, replace(CONFIG, max_train_samples=11, order="own_first"))
    samples = load_samples(tmp_path, "train")
    drawn = np.array(datasets.load_from_disk(str(tmp_path / "prompts" / "train"))["sample"][:])
    _, prompts = np.unique(samples.user[samples.row_of(drawn)], return_counts=True)
    assert prompts.tolist() == [2, 2, 2, 2, 2]


def test_train_samples_without_lists_have_no_prompts(tmp_path: Path) -> None:
    names = ("some", "all")
    for name in names:
        write_tiny_run(tmp_path / name)
        _write_lists(tmp_path / name, every=3 if name == "some" else 1)
        tokenize_prompts(CONFIG, run_dir=tmp_path / name, seed=1, tracker=Tracker(None, "tokenize"))
    some, whole = (datasets.load_from_disk(str(tmp_path / name / "prompts" / "train")) for name in names)
    listed = load_samples(tmp_path / "some", "train").sample[::3].tolist()
    assert some["sample"][:] == listed
    of_sample = {row["sample"]: row for row in whole}
    assert len(of_sample) > len(listed)
    assert list(some) == [of_sample[sample] for sample in listed]


def _write_lists(run_dir: Path, *, every: int) -> None:
    """What is expected of each `every`th train sample, and of all of valid and test: five items of its domain."""
    folder = run_dir / "graph" / "left_out"
    folder.mkdir(parents=True)
    for split in SPLITS:
        samples = load_samples(run_dir, split)
        samples = samples.take(np.arange(0, len(samples), every)) if split == "train" else samples
        items = (samples.sample[:, None] + np.arange(5)) % 10 + 10 * samples.domain[:, None]
        scores = np.tile(-np.arange(5, dtype=np.float32), (len(items), 1))
        if split == "train":
            np.save(folder / "samples.npy", samples.sample)
            np.save(folder / "items.npy", items.astype(np.int32))
            np.save(folder / "scores.npy", scores)
        else:
            write_lists(run_dir / "lists" / f"evidence_{split}.parquet", RankedLists(samples.sample, items, scores))


def test_samples_whose_answer_cannot_fit_are_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_tiny_run(tmp_path, items=200)  # so many that one long title does not set the reserve
    table = pq.read_table(tmp_path / "pair" / "items.parquet").to_pydict()
    train = load_samples(tmp_path, "train")
    targets, counts = np.unique(train.target, return_counts=True)
    rare = int(targets[counts.argmin()])
    table["title"][rare] = "paper " * 150
    pq.write_table(pa.table(table), tmp_path / "pair" / "items.parquet")
    tokenize_prompts(CONFIG, run_dir=tmp_path, seed=1, tracker=Tracker(None, "tokenize"))
    written = datasets.load_from_disk(str(tmp_path / "prompts" / "train"))["sample"][:]
    assert written == train.sample[train.target != rare].tolist()
    assert f"{counts.min()} of {len(train)} train samples left out" in caplog.text
    with pytest.raises(InputError, match=r"only \d+ % of the train samples have room .* \d+ would do for 99 %"):
        tokenize_prompts(replace(CONFIG, max_tokens=60), run_dir=tmp_path, seed=1, tracker=Tracker(None, "tokenize"))


def test_a_budget_without_room_for_kindred_users_is_refused(tmp_path: Path) -> None:
    write_tiny_run(tmp_path)
    tight = replace(CONFIG, max_tokens=100)
    with pytest.raises(
        InputError, match=r"train: \d+ % of the prompts have no room .* raise prompts.max_tokens \(100\)"
    ):
        tokenize_prompts(tight, run_dir=tmp_path, seed=1, tracker=Tracker(None, "tokenize"))
    tokenize_prompts(replace(tight, num_neighbours=0), run_dir=tmp_path, seed=1, tracker=Tracker(None, "tokenize"))
    facts = read_json(tmp_path / "prompts" / "meta.json")["splits"]["train"]
    assert (facts["share_with_neighbours"], facts["share_crowded_out"], facts["share_with_target"]) == (0, 0, 0)


@pytest.mark.parametrize("form", ["votes", "histories"])
def test_the_share_of_prompts_that_show_the_target(tmp_path: Path, form: KindredForm) -> None:
    config = replace(CONFIG, kindred=form, max_tokens=400, num_neighbours=4)
    write_tokenized_run(tmp_path, config)
    items, folder = load_pair(tmp_path).items, tmp_path / "prompts"
    words = load_tokenizer_folder(folder / "tokenizer")
    samples, prompts = load_samples(tmp_path, "test"), datasets.load_from_disk(str(folder / "test"))
    above_own = [str(words.decode(tokens)).split("The user bought:")[0] for tokens in prompts["input_ids"]]
    shown = [items.titles[target] in text for target, text in zip(samples.target.tolist(), above_own, strict=True)]
    assert 0 < np.mean(shown) < 1, "some targets should be shown, not all"
    assert read_json(folder / "meta.json")["splits"]["test"]["share_with_target"] == round(np.mean(shown), 4)


def test_the_scratch_tokenizer_is_deterministic() -> None:
    titles = [f"{first} {second}" for first in WORDS for second in WORDS]
    trained = [train_tokenizer(titles, vocab_size=350).backend_tokenizer.to_str() for _ in range(3)]
    assert trained[0] == trained[1] == trained[2]  # its hash tables are seeded anew each time
