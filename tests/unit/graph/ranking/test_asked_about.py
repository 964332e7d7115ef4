"""`graph.held_out_lists`: who is asked about has the lists and vectors that it has among all; others read these."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from evaluation.asked import load_asked
from evaluation.ranked_lists import RankedLists, read_lists, write_lists
from graph.load import save_settings
from graph.ranking.export_lists import export_lists
from graph.ranking.export_vectors import export_vectors
from launch.errors import InputError
from pairs.draws import draw_users
from retrieval.posterior.expected import load_asking
from tests.graph_runs import make_splits, timed, write_run
from tests.unit.graph.ranking.test_export_lists import CONFIG, DEPTH, exported, read


@pytest.mark.parametrize("has_times", [False, True])
def test_those_who_are_asked_about_have_the_lists_that_they_have_among_all(tmp_path: Path, has_times: bool) -> None:
    splits = timed(make_splits()) if has_times else make_splits()
    write_run(tmp_path, splits=splits)
    judge, prepared = exported(tmp_path)
    names = [path.stem for path in (tmp_path / "lists").iterdir() if not path.stem.endswith("_train")]
    whole = {name: read(tmp_path, name) for name in names}
    assert load_asked(tmp_path, "valid").sample.tolist() == splits["valid"].sample.tolist()
    export_lists(judge, prepared, tmp_path, depth=DEPTH, seed=1, held_out=3)
    save_settings(tmp_path, dataclasses.replace(CONFIG, held_out_lists=3))
    for name in names:
        few, split = read(tmp_path, name), splits["valid" if name.endswith("valid") else "test"]
        drawn = split.take(draw_users(split.user, 3, seed=1))
        assert 0 < len(drawn) < len(split)
        assert few.sample.tolist() == sorted(drawn.sample.tolist())
        expected = whole[name].of_samples(few.sample, source=name)
        assert few.items.tolist() == expected.items.tolist()
        assert few.scores.tolist() == expected.scores.tolist()
    for part in ("valid", "test"):
        drawn = splits[part].take(draw_users(splits[part].user, 3, seed=1))
        assert load_asked(tmp_path, part).sample.tolist() == drawn.sample.tolist()
        assert load_asking(tmp_path, part, has_lists=True).sample.tolist() == drawn.sample.tolist()


def test_those_who_are_asked_about_have_the_vectors_that_they_have_among_all(tmp_path: Path) -> None:
    splits = write_run(tmp_path)
    judge, _ = exported(tmp_path)
    folder = tmp_path / "graph" / "vectors"
    export_vectors(judge, tmp_path, seed=1)
    whole = {path.stem: np.load(path) for path in folder.iterdir()}
    export_vectors(judge, tmp_path, seed=1, held_out=3)
    few = {path.stem: np.load(path) for path in folder.iterdir()}
    assert few["train_X"].tolist() == whole["train_X"].tolist()
    for split in ("valid", "test"):
        rows = draw_users(splits[split].user, 3, seed=1)
        assert few[f"{split}_samples"].tolist() == splits[split].sample[rows].tolist()
        for domain in "XY":
            assert few[f"{split}_{domain}"].tolist() == whole[f"{split}_{domain}"][rows].tolist()


@pytest.mark.parametrize(("first", "added"), [(0, 10**6), (1, 0)], ids=["of another pair", "one is missing"])
def test_lists_of_others_than_were_drawn_are_refused(tmp_path: Path, first: int, added: int) -> None:
    write_run(tmp_path)
    judge, prepared = exported(tmp_path)
    export_lists(judge, prepared, tmp_path, depth=DEPTH, seed=1, held_out=3)
    save_settings(tmp_path, dataclasses.replace(CONFIG, held_out_lists=3))
    path = tmp_path / "lists" / "graph_test.parquet"
    lists = read_lists(path)
    kept = RankedLists(lists.sample[first:] + added, lists.items[first:], lists.scores[first:])
    write_lists(path, kept)
    with pytest.raises(InputError, match=r"graph_test\.parquet: \d samples that are not those of as many whole users"):
        load_asked(tmp_path, "test")
