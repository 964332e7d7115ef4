"""Users of one domain of a released pair: lines of one more file, one a user, who teach and are never asked."""

from pathlib import Path

import numpy as np
import pytest

from launch.artifacts import read_json
from launch.errors import InputError
from pairs.config import PairConfig
from pairs.known import known_others, load_others
from pairs.prepare import prepare
from pairs.tables import SPLITS, load_samples

ITEMS = "idBefore,item_title,idAfter,item_attribute\n"
LONE = "90\t3\t1|1|1\t0|2|2\t2|3|3\t\n91\t2\t5|0|0\t3|1|1\t4|2|2\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three items a domain, and users of one domain."""
    place = tmp_path / "released"
    place.mkdir()
    for name, first in (("art", 0), ("office", 3)):
        rows = "".join(f"{i},{name} thing {i},{first + i},{name} words\n" for i in range(3))
        (place / f"{name}_items.csv").write_text(ITEMS + rows, encoding="utf-8")
    for split, users in (("train", range(4)), ("valid", range(4, 6)), ("test", range(6, 8))):
        lines = "".join(f"{user}\t2\t0|0|0\t3|1|1\t{target}|2|2\t\n" for user in users for target in (1, 4))
        (place / f"{split}.txt").write_text(lines, encoding="utf-8")
    (place / "one_domain.txt").write_text(LONE, encoding="utf-8")
    return place


def released(folder: Path, graph_users: str = "one_domain") -> PairConfig:
    return PairConfig(source="released", path=str(folder), graph_users=graph_users)  # type: ignore[arg-type]  # any word


def rows_of(run_dir: Path) -> list[list[int]]:
    others = load_others(run_dir)
    assert others is not None
    return [[*others.history_of(row).tolist(), int(others.target[row])] for row in range(len(others))]


def in_seconds(folder: Path, **begins: int) -> None:
    """The files with seconds for positions; `begins` is when each begins."""
    for name, begin in begins.items():
        lines = []
        for line in (folder / f"{name}.txt").read_text(encoding="utf-8").splitlines():
            user, answer, *fields = line.strip("\t").split("\t")
            parts = [field.split("|") for field in fields]
            events = [f"{item}|{begin + int(time)}|{begin + int(time)}" for item, time, _ in parts]
            lines.append("\t".join([user, str(begin + int(answer)), *events]) + "\n")
        (folder / f"{name}.txt").write_text("".join(lines), encoding="utf-8")


def test_each_line_is_a_row_behind_the_samples(folder: Path, tmp_path: Path) -> None:
    prepare(released(folder), run_dir=tmp_path / "run")
    assert rows_of(tmp_path / "run") == [[1, 0, 2], [5, 3, 4]]
    others = load_samples(tmp_path / "run", "graph_only")
    assert others.user.tolist() == [8, 9]
    assert others.sample.tolist() == [16, 17]
    assert others.domain.tolist() == [0, 1]
    assert others.history_time is None
    card = read_json(tmp_path / "run" / "pair" / "card.json")
    assert (card["graph_only_users"], card["graph_only_left_out"]) == (2, 0)


def test_samples_are_those_of_the_pair_without_them_and_the_log_says_so(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepare(released(folder), run_dir=tmp_path / "with")
    with caplog.at_level("INFO"):
        files = prepare(released(folder, "none"), run_dir=tmp_path / "without")
    assert caplog.text.count("one_domain.txt: users of one domain are not read, for pair.graph_users=none") == 1
    assert folder / "one_domain.txt" not in files
    assert load_others(tmp_path / "without") is None
    for split in SPLITS:
        one, other = (load_samples(tmp_path / run, split) for run in ("with", "without"))
        assert np.array_equal(one.history, other.history)
        assert np.array_equal(one.target, other.target)


def test_the_file_is_one_of_those_that_were_read(folder: Path, tmp_path: Path) -> None:
    assert folder / "one_domain.txt" in prepare(released(folder), run_dir=tmp_path / "run")


def test_all_is_kept_and_train_is_told_of_what_came_up_to_its_end(folder: Path, tmp_path: Path) -> None:
    now = 1_500_000_000
    in_seconds(folder, train=now, valid=now + 10, test=now + 20, one_domain=now)
    prepare(released(folder), run_dir=tmp_path / "run")  # train ends at now + 2
    assert rows_of(tmp_path / "run") == [[1, 0, 2], [5, 3, 4]]
    others = known_others(load_others(tmp_path / "run"), until=now + 2)
    assert others is not None
    assert others.target_time is not None
    assert others.target_time.tolist() == [now + 2, now + 2]
    assert others.lengths.tolist() == [1, 2]


def test_all_counts_where_the_splits_lie_in_one_time(folder: Path, tmp_path: Path) -> None:
    now = 1_500_000_000
    in_seconds(folder, train=now, valid=now, test=now, one_domain=now)
    prepare(released(folder), run_dir=tmp_path / "run")
    assert rows_of(tmp_path / "run") == [[1, 0, 2], [5, 3, 4]]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (LONE + "92\t2\t1|1|1\t6|2|2\t\n", r"line 3 names item 6, outside the catalogue \(0\.\.5\)"),
        (LONE + "2\t2\t1|1|1\t0|2|2\t\n", r"line 3 has user 2, who is in train\.txt, too: who is asked about teaches"),
        (LONE + "7\t2\t1|1|1\t0|2|2\t\n", r"line 3 has user 7, who is in test\.txt, too"),
        (LONE + "90\t2\t1|1|1\t0|2|2\t\n", "line 3 .* line 1 of user 90|line 3 is the second of user 90"),
        (LONE + "90\t3\t1|1|1\t0|2|2\t1|3|3\t\n", "line 3 is the second of user 90, a user of one domain has one line"),
        (LONE + LONE[:10], "line 3 "),
        (LONE + "92\t2\t0|2|2\t\n", "line 3 needs a history and a target"),
        (LONE + "92\t1500000002\t1|1500000001|0\t0|1500000002|0\t\n", r"train\.txt: line 1 has the position"),
        ("", "holds no sample"),
    ],
)
def test_a_line_that_cannot_be_meant_is_refused(folder: Path, tmp_path: Path, lines: str, said: str) -> None:
    (folder / "one_domain.txt").write_text(lines, encoding="utf-8")
    with pytest.raises(InputError, match=said) as refusal:
        prepare(released(folder), run_dir=tmp_path / "run")
    assert "\n" not in str(refusal.value)
    assert list((tmp_path / "run" / "pair").iterdir()) == []


def test_a_file_that_is_asked_for_must_be_there_once(folder: Path, tmp_path: Path) -> None:
    (folder / "one_domain.txt.gz").write_bytes(b"")
    with pytest.raises(InputError, match=r"one_domain\.txt and one_domain\.txt\.gz are both there; remove one"):
        prepare(released(folder), run_dir=tmp_path / "run")
    (folder / "one_domain.txt.gz").unlink()
    (folder / "one_domain.txt").unlink()
    with pytest.raises(InputError, match=r"one_domain\.txt\[\.gz\]: no such file; add the users of one domain, or set"):
        prepare(released(folder), run_dir=tmp_path / "run")
