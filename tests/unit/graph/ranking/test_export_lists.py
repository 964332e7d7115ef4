"""The lists that the graph stage leaves: of its parts, of train users who were left out, of what is known at a cut."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.list_ranker.blocks import make_blocks
from evaluation.list_ranker.knowledge import known_at_cut
from evaluation.matrices import DAY
from evaluation.ranked_lists import RankedLists, read_lists
from graph.build import Graphs
from graph.load import Prepared, load_blocks, make_ranker, prepare, with_left_out
from graph.pretrain import pretrain
from graph.ranking.export_lists import export_lists
from graph.ranking.full_ranking import Judge
from graph.ranking.infer import TrainedGraph
from graph.ranking.parts import encoder_scores, evidence_scores
from launch.tracking import Tracker
from tests.graph_runs import ALONE, ATTENTION, make_splits, timed, tiny, write_run

CONFIG = tiny()
DEPTH = 10
LEFT_OUT = ("evidence", "encoders")
"""Systems with lists of train samples that they were told nothing of."""


def exported(run_dir: Path) -> tuple[Judge, Prepared]:
    """The lists of an untrained ranker whose weights are anything."""
    prepared, blocks = prepare(run_dir, CONFIG, ALONE), load_blocks(run_dir, seed=1)
    if blocks:
        prepared = with_left_out(prepared, blocks, run_dir, ALONE)
    ranker = make_ranker(prepared, CONFIG, seed=1, device=ALONE.device).eval()
    with torch.no_grad():
        for weight in (*ranker.evidence.parameters(), *ranker.late.parameters()):
            weight.add_(0.2 * torch.randn_like(weight))
    judge = Judge(ranker, prepared.graphs, CONFIG, ALONE)
    export_lists(judge, prepared, run_dir, depth=DEPTH, seed=1)
    return judge, prepared


def read(run_dir: Path, name: str) -> RankedLists:
    return read_lists(run_dir / "lists" / f"{name}.parquet")


def test_parts_are_there_for_both_splits_and_nothing_is_refit_without_times(tmp_path: Path) -> None:
    splits = write_run(tmp_path)
    judge, _ = exported(tmp_path)
    names = {path.stem for path in (tmp_path / "lists").iterdir()}
    systems = ("graph", "evidence", "evidence_untrained", "encoders")
    taught = {f"{name}_train" for name in LEFT_OUT}
    assert names == {f"{name}_{split}" for name in systems for split in ("valid", "test")} | taught
    with torch.no_grad():
        for blend in judge.ranker.blend:
            blend.fill_(-torch.inf)  # exp: no weight on the encoders
    assert judge.lists(splits["test"], DEPTH).items.tolist() == read(tmp_path, "evidence_test").items.tolist()
    assert read(tmp_path, "encoders_test").items.tolist() != read(tmp_path, "evidence_test").items.tolist()


def test_a_train_users_lists_are_those_of_a_graph_without_that_user(tmp_path: Path) -> None:
    train = write_run(tmp_path)["train"]
    judge, prepared = exported(tmp_path)
    lists = read(tmp_path, "evidence_train")
    asked = np.concatenate([block.asked.sample for block in make_blocks(train, seed=1, chronological=False)])
    assert lists.sample.tolist() == sorted(asked.tolist())
    for user in np.unique(train.user[np.isin(train.sample, asked)]).tolist():
        own, others = train.take(np.flatnonzero(train.user == user)), train.take(np.flatnonzero(train.user != user))
        graphs: Graphs = prepared.source.graphs_of(others)
        expected = judge.lists(own, DEPTH, scores=evidence_scores(judge.ranker.evidence, graphs))
        given = lists.of_samples(own.sample)
        assert given.scores == pytest.approx(expected.scores, rel=1e-4)
        apart = np.abs(np.diff(expected.scores, axis=1)) > 1e-4
        clear = np.pad(apart, ((0, 0), (1, 0)), constant_values=True) & np.pad(apart, ((0, 0), (0, 1)))
        assert (given.items == expected.items)[clear].all()
        assert clear.any()


def test_the_encoders_lists_of_train_are_those_of_tables_without_their_blocks(tmp_path: Path) -> None:
    train = write_run(tmp_path)["train"]
    judge, prepared = exported(tmp_path)
    lists = read(tmp_path, "encoders_train")
    blocks = make_blocks(train, seed=1, chronological=False)
    asked = np.concatenate([block.asked.sample for block in blocks])
    assert lists.sample.tolist() == sorted(asked.tolist())
    for block in blocks:
        untold = dataclasses.replace(judge, graphs=prepared.source.graphs_of(block.known))
        expected = untold.lists(block.asked, DEPTH, scores=encoder_scores(judge.ranker, untold.graphs))
        assert lists.of_samples(block.asked.sample).items.tolist() == expected.items.tolist()
        assert lists.of_samples(block.asked.sample).scores.tolist() == expected.scores.tolist()
        told = judge.lists(block.asked, DEPTH, scores=encoder_scores(judge.ranker, prepared.graphs))
        assert told.items.tolist() != expected.items.tolist()


def test_encoders_of_attention_leave_no_lists_of_train(tmp_path: Path) -> None:
    """Their item vectors have seen every train user: such lists would teach the list ranker to copy."""
    write_run(tmp_path)
    config = tiny("best", **ATTENTION)
    prepared = prepare(tmp_path, config, ALONE)
    ranker = make_ranker(prepared, config, seed=1, device=ALONE.device).eval()
    export_lists(Judge(ranker, prepared.graphs, config, ALONE), prepared, tmp_path, depth=DEPTH, seed=1)
    assert (tmp_path / "lists" / "evidence_train.parquet").is_file()
    assert not (tmp_path / "lists" / "encoders_train.parquet").exists()


@pytest.mark.parametrize("name", ["graph", "encoders"])
def test_a_loaded_model_gives_the_lists_that_were_exported(tmp_path: Path, name: str) -> None:
    """Told of train, and of all that is known at the cut, as `kinrec recommend` asks it."""
    splits = timed(make_splits())
    write_run(tmp_path, splits=splits)
    pretrain(tiny(epochs=1), run_dir=tmp_path, seed=7, world=ALONE, tracker=Tracker(None, "pretrain"))
    train, valid, test = (splits[split] for split in ("train", "valid", "test"))
    trained = TrainedGraph.open(tmp_path, ALONE)
    later = trained.knowing(known_at_cut(train, valid, test))
    for asked, of_what in ((trained, "test"), (later, "refit")):
        written = read(tmp_path, f"{name}_{of_what}")
        for row in (0, 7, len(test) - 1):
            given = asked.rank(test.take(np.array([row])), systems=[name], depth=len(written.items[row]))[name]
            assert given.items.tolist() == written.items[[row]].tolist()
            assert given.scores == pytest.approx(written.scores[[row]], rel=1e-5)
    assert read(tmp_path, f"{name}_test").items.tolist() != read(tmp_path, f"{name}_refit").items.tolist()


def test_lists_in_time_know_what_came_before_and_nothing_else(tmp_path: Path) -> None:
    splits = timed(make_splits())
    write_run(tmp_path, splits=splits)
    judge, prepared = exported(tmp_path)
    train, valid, test = (splits[split] for split in ("train", "valid", "test"))
    graphs = prepared.source.graphs_of(known_at_cut(train, valid, test))
    expected = judge.lists(test, DEPTH, scores=evidence_scores(judge.ranker.evidence, graphs))
    assert read(tmp_path, "evidence_refit").items.tolist() == expected.items.tolist()
    assert read(tmp_path, "evidence_refit").scores.tolist() != read(tmp_path, "evidence_test").scores.tolist()

    first = {name: read(tmp_path, f"{name}_train") for name in LEFT_OUT}
    block = make_blocks(train, seed=1, chronological=True)[0]
    assert block.asked.target_time is not None
    changed = train.target.copy()
    later = np.flatnonzero(train.target_time >= block.asked.target_time.min())  # what the block is asked, and after it
    random = np.random.default_rng(3)
    changed[later] = [random.integers(*((0, 14) if domain == 0 else (14, 30))) for domain in train.domain[later]]
    splits["train"] = dataclasses.replace(train, target=changed)
    other = tmp_path / "other"
    write_run(other, splits=splits)
    again, prepared_again = exported(other)
    again.ranker.load_state_dict(judge.ranker.state_dict())
    export_lists(again, prepared_again, other, depth=DEPTH, seed=1)
    asked = block.asked.sample
    for name, before in first.items():
        after = read(other, f"{name}_train")
        assert before.of_samples(asked).items.tolist() == after.of_samples(asked).items.tolist(), name
    assert (tmp_path / "graph" / "item_tables.npy").read_bytes() != (other / "graph" / "item_tables.npy").read_bytes()


def test_train_whose_end_is_one_moment_has_nothing_to_learn_from_and_ends_well(tmp_path: Path) -> None:
    splits = timed(make_splits())
    train = splits["train"]
    assert train.target_time is not None
    splits["train"] = dataclasses.replace(train, target_time=np.full(len(train), 50 * DAY))
    write_run(tmp_path, splits=splits)
    exported(tmp_path)
    assert not list((tmp_path / "lists").glob("*_train.parquet"))
    assert (tmp_path / "lists" / "evidence_refit.parquet").is_file()


def test_rolling_lists_count_sales_until_each_question_and_none_later(tmp_path: Path) -> None:
    splits = timed(make_splits())
    test = splits["test"]
    assert test.target_time is not None
    write_run(tmp_path / "one", splits=splits)
    judge, _ = exported(tmp_path / "one")
    systems = {path.stem for path in (tmp_path / "one" / "lists").glob("*_rolling.parquet")}
    assert systems == {"graph_rolling", "evidence_rolling"}, "the encoders read no clock"
    rolling, refit = (read(tmp_path / "one", f"evidence_{kind}") for kind in ("rolling", "refit"))
    assert rolling.scores.tolist() != refit.scores.tolist()
    order = np.argsort(test.target_time)
    middle = test.target_time[order[len(order) // 2]]
    later = np.flatnonzero(test.target_time >= middle)
    target = test.target.copy()
    for domain in (0, 1):
        rows = later[test.domain[later] == domain]
        target[rows] = np.roll(target[rows], 1)
    assert (target != test.target).any()
    splits["test"] = dataclasses.replace(test, target=target)
    write_run(tmp_path / "other", splits=splits)
    prepared = with_left_out(
        prepare(tmp_path / "other", CONFIG, ALONE), load_blocks(tmp_path / "other", seed=1), tmp_path / "other", ALONE
    )
    told = dataclasses.replace(judge, graphs=prepared.graphs)
    export_lists(told, prepared, tmp_path / "other", depth=DEPTH, seed=1)
    again = read(tmp_path / "other", "evidence_rolling").of_samples(test.sample)
    before = np.flatnonzero(test.target_time <= middle)
    assert again.scores[before].tolist() == rolling.of_samples(test.sample).scores[before].tolist()
    assert again.scores.tolist() != rolling.of_samples(test.sample).scores.tolist()
