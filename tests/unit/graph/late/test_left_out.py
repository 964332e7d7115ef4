"""What late interaction learns from is told nothing of who is asked; what was written is read, after a kill too."""

import dataclasses
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
import torch

from evaluation.list_ranker.blocks import FitBlock, make_blocks
from evaluation.ranked_lists import RankedLists, read_lists
from graph.late import left_out as left_out_module
from graph.late.interaction import vote_graphs
from graph.late.item_tables import factorise, item_tables
from graph.late.left_out import LeftOut, read_left_out, write_left_out
from graph.load import load_blocks, make_ranker, prepare, with_left_out
from graph.ranking.export_lists import export_lists
from graph.ranking.full_ranking import Judge
from pairs.known import with_others
from pairs.tables import Items, Samples, joined, load_pair, load_samples
from tests.graph_runs import ALONE, NUM_ITEMS, NUM_X, Row, make_rows, make_samples, make_splits, tiny, write_run

DIM, DEPTH, LENGTH = 8, 3, 6
WORDS = np.random.default_rng(2).standard_normal((NUM_ITEMS, DIM)).astype(np.float32)


@pytest.fixture
def items(tmp_path: Path) -> Items:
    write_run(tmp_path / "run")
    return load_pair(tmp_path / "run").items


def blocks_of(others: Samples | None = None) -> list[FitBlock]:
    return make_blocks(make_splits()["train"], seed=1, chronological=False, others=others)


def write(folder: Path, blocks: list[FitBlock], items: Items) -> LeftOut:
    write_left_out(folder, blocks, items, WORDS, dim=DIM, depth=DEPTH, max_history=LENGTH)
    return read_left_out(folder, blocks, items)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_was_written_is_what_the_blocks_tables_say(tmp_path: Path, items: Items) -> None:
    blocks = blocks_of()
    left_out = write(tmp_path / "tables", blocks, items)
    assert len(left_out.votes) == len(blocks) == 4
    for block, votes in zip(blocks, left_out.votes, strict=True):
        tables = item_tables(factorise(block.known, items, dim=DIM), WORDS, block.known)
        asked = torch.from_numpy(np.unique(block.asked.recent(LENGTH, NUM_ITEMS)))[:-1]
        for kept, made in zip(votes, vote_graphs(tables, NUM_X, depth=DEPTH), strict=True):
            assert kept.nearest.ids == made.nearest.ids
            assert torch.equal(kept.num_users, made.num_users)
            one, other = kept.nearest.of(asked.flip(0)), made.nearest.of(asked.flip(0))
            assert torch.equal(one.candidate, other.candidate)
            assert torch.equal(one.cosines, other.cosines)


def test_a_sample_has_its_own_block_and_one_of_no_block_has_none(tmp_path: Path, items: Items) -> None:
    blocks = blocks_of()
    left_out = write(tmp_path / "tables", blocks, items)
    for number, block in enumerate(blocks):
        assert set(left_out.block_of(torch.from_numpy(block.asked.sample)).tolist()) == {number}
    assert left_out.block_of(torch.zeros(0, dtype=torch.int64)).tolist() == []
    asked = {int(sample) for block in blocks for sample in block.asked.sample}
    for stranger in (next(sample for sample in range(80) if sample not in asked), 10_000, -1):
        assert left_out.block_of(torch.tensor([min(asked), stranger])).tolist() == [
            *left_out.block_of(torch.tensor([min(asked)])).tolist(),
            -1,
        ]


def test_users_of_one_domain_count_in_a_block_as_they_do_for_anybody(tmp_path: Path, items: Items) -> None:
    others = make_samples([(100 + user, [20, 21], 22) for user in range(9)], first=1000)
    blocks = blocks_of(others)
    left_out = write(tmp_path / "tables", blocks, items)
    for block, votes in zip(blocks, left_out.votes, strict=True):
        known = with_others(block.known, others)
        expected = item_tables(factorise(known, items, dim=DIM), WORDS, known).num_users
        assert torch.equal(torch.cat([graph.num_users for graph in votes]), expected)


class KilledError(Exception):
    """Stands for kill -9 in one process: nothing after it runs."""


def test_a_start_that_was_killed_while_it_wrote_leaves_whole_files_and_the_next_goes_on(
    tmp_path: Path, items: Items, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = blocks_of()
    write(tmp_path / "whole", blocks, items)
    save, made, killed = np.savez, [], tmp_path / "killed"

    def save_half(file: IO[bytes], **columns: Any) -> None:  # Any: as numpy takes them
        made.append(1)
        if len(made) == 3:
            file.write(b"half")
            raise KilledError
        save(file, **columns)

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", save_half)
        with pytest.raises(KilledError):
            write(killed, blocks, items)
        (killed / "block-2.npz.1234.partial").write_bytes(b"half")  # what kill -9 would have left
        assert {name for name in contents(killed) if "partial" not in name} == {"block-0.npz", "block-1.npz"}
        made.clear()
        made.extend([1] * 3)
        write(killed, blocks, items)
    assert len(made) == 3 + 2, "blocks that were whole are not made again"
    (killed / "block-2.npz.1234.partial").unlink()
    assert contents(killed) == contents(tmp_path / "whole")


def test_tables_of_a_start_that_was_killed_while_it_wrote_them_are_made_anew(
    tmp_path: Path, items: Items, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = np.save

    def save_half(file: IO[bytes], array: np.ndarray, **how: bool) -> None:
        if array.dtype == np.int8:
            file.write(b"half")
            raise KilledError
        save(file, array, **how)

    path = tmp_path / "run" / "graph" / "item_tables.npy"
    with monkeypatch.context() as patch:
        patch.setattr(np, "save", save_half)
        with pytest.raises(KilledError):
            prepare(tmp_path / "run", tiny(), ALONE)
    assert not path.exists()
    prepare(tmp_path / "run", tiny(), ALONE)
    expected = factorise(load_samples(tmp_path / "run", "train"), items, dim=tiny().model.dim)
    assert np.array_equal(np.load(path), expected)
    left_out_module.write_left_out(tmp_path / "none", [], items, WORDS, dim=DIM, depth=DEPTH, max_history=LENGTH)
    assert not (tmp_path / "none").exists()


def lists_of_train(run_dir: Path, train: Samples) -> tuple[RankedLists, np.ndarray]:
    """`encoders_train` of a pair with these train samples, under weights that are always the same; its tables."""
    splits = make_splits() | {"train": train}
    write_run(run_dir, splits=splits)
    prepared = with_left_out(prepare(run_dir, tiny(), ALONE), load_blocks(run_dir, seed=1), run_dir, ALONE)
    ranker = make_ranker(prepared, tiny(), seed=1, device=ALONE.device).eval()
    export_lists(Judge(ranker, prepared.graphs, tiny(), ALONE), prepared, run_dir, depth=10, seed=1)
    return read_lists(run_dir / "lists" / "encoders_train.parquet"), np.load(run_dir / "graph" / "item_tables.npy")


def test_what_somebody_buys_changes_nothing_in_her_own_list(tmp_path: Path) -> None:
    """She buys other things than she did, and more; asked with the same history, she is told the same."""
    train = make_splits()["train"]
    blocks = make_blocks(train, seed=1, chronological=False)
    user = int(blocks[1].asked.user[0])
    before, tables = lists_of_train(tmp_path / "before", train)
    random = np.random.default_rng(9)
    own = train.user == user
    drawn = np.where(train.domain == 0, random.integers(0, NUM_X, len(train)), random.integers(NUM_X, 30, len(train)))
    more: list[Row] = [(user, history, target) for _, history, target in make_rows(random, range(1, 4))]
    changed = joined(
        dataclasses.replace(train, target=np.where(own, drawn, train.target)), make_samples(more, first=5000)
    )
    after, other_tables = lists_of_train(tmp_path / "after", changed)
    hers = train.sample[own]
    assert before.of_samples(hers).items.tolist() == after.of_samples(hers).items.tolist()
    assert before.of_samples(hers).scores.tobytes() == after.of_samples(hers).scores.tobytes()
    together = blocks[1].asked.sample
    assert before.of_samples(together).scores.tobytes() == after.of_samples(together).scores.tobytes(), "of her block"
    elsewhere = blocks[0].asked.sample
    assert before.of_samples(elsewhere).scores.tobytes() != after.of_samples(elsewhere).scores.tobytes()
    assert not np.array_equal(tables, other_tables), "what she buys is told to everybody else"
