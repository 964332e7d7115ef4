"""The lines of one user of a released pair share one history."""

from pathlib import Path

import pytest

from launch.errors import InputError
from pairs.released.sample_lines import read_sample_lines

USER_3 = "3\t2\t0|0|0\t4|1|1\t1|2|2\t\n"


def write(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "train.txt"
    path.write_text("0\t7\t1|5|5\t3|6|6\t2|7|7\t\n" + "".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "line",
    [
        "3\t2\t0|0|0\t5|1|1\t3|2|2\t\n",
        "3\t2\t0|0|0\t3|2|2\t\n",
        "3\t2\t0|1|1\t4|1|1\t3|2|2\t\n",
        "3\t3\t0|0|0\t4|1|1\t1|2|2\t5|3|3\t\n",
    ],
    ids=["another item", "a shorter one", "another time", "up to a later target"],
)
def test_lines_of_one_user_with_different_histories_are_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(InputError, match=r"train\.txt: line 3 has another history than line 2 of user 3"):
        read_sample_lines(write(tmp_path, USER_3, line), num_items=6)


def test_the_order_inside_a_line_makes_no_other_history(tmp_path: Path) -> None:
    path = write(tmp_path, "3\t2\t0|0|0\t4|0|0\t1|2|2\t\n", "3\t2\t4|0|0\t0|0|0\t5|2|2\t\n")
    assert read_sample_lines(path, num_items=6)["item"].to_list()[3:] == [0, 4, 1, 4, 0, 5]
