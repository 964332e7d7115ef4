"""What ranks say becomes lines; faults that need GPUs or bad hardware are told by answers as such ranks would give."""

from typing import Any

from launch.doctor.diagnoses import Diagnosis
from launch.doctor.ranks import read_ranks
from launch.processes.children import Outcome

GIB = 2**30


def answers(size: int = 2, **changes: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of healthy ranks on GPUs of one host, with what `changes` says of single ranks of a part."""
    said = []
    for rank in range(size):
        parts: dict[str, dict[str, Any]] = {
            "here": {"size": size, "host": "a"},
            "met": {"size": size, "host": "a", "device": "cuda", "index": rank, "gpus": size, "free": 79 * GIB,
                    "total": 80 * GIB},
            "talk": {"rates": {"1048576": 10.0 * GIB}, "right": True},
            "clock": {"ahead": 0.0},
            "folder": {"host": "a", "ahead": 0.0, "problem": "", "unseen": [], "rate": GIB, "locks": ""},
        }  # fmt: skip
        for part, values in parts.items():
            said.append({"part": part, "rank": rank, **values, **changes.get(part, {}).get(rank, {})})
    return said


def read(said: list[dict[str, Any]], *, status: int | None = 0, node_gpus: int = 2) -> list[Diagnosis]:
    outcome = Outcome(status, said, "RuntimeError: connection closed by peer", 12.0)
    return [line for line in read_ranks(outcome, size=2, node_gpus=node_gpus) if line.level != "pass"]


def only(diagnoses: list[Diagnosis]) -> Diagnosis:
    (diagnosis,) = diagnoses
    assert diagnosis.cure
    return diagnosis


def test_healthy_ranks_pass() -> None:
    assert read(answers()) == []


def test_a_rank_that_does_not_start_fails() -> None:
    diagnosis = only(read([said for said in answers() if said["rank"] == 0 and said["part"] == "here"], status=1))
    assert diagnosis.level == "fail"
    assert (
        diagnosis.text
        == "2 of 2 ranks have not met the others (rank 0 on a, 1): RuntimeError: connection closed by peer"
    )


def test_a_rank_that_ends_half_way_fails() -> None:
    diagnosis = only(
        read([said for said in answers() if not (said["rank"] == 1 and said["part"] == "folder")], status=1)
    )
    assert diagnosis.text.startswith("1 of 2 came to the end")


def test_ranks_that_share_a_gpu_fail() -> None:
    diagnosis = only(read(answers(met={0: {"gpus": 1}, 1: {"index": 0, "gpus": 1}}), node_gpus=1))
    assert (diagnosis.level, diagnosis.text) == ("fail", "2 ranks share GPU 0 of a, which has 1")


def test_a_gpu_without_a_rank_is_worth_a_word() -> None:
    diagnosis = only(read(answers(met={0: {"gpus": 4}, 1: {"gpus": 4}}), node_gpus=4))
    assert (diagnosis.level, diagnosis.text) == ("warn", "a has 4 for 2 rank(s)")


def test_gpus_that_no_rank_uses_fail() -> None:
    diagnosis = only(read(answers(met={0: {"device": "cpu"}, 1: {"device": "cpu"}})))
    assert (diagnosis.level, diagnosis.check) == ("fail", "gpus")


def test_a_busy_gpu_is_worth_a_word() -> None:
    diagnosis = only(read(answers(met={1: {"free": 40 * GIB}})))
    assert diagnosis.level == "warn"
    assert diagnosis.text == "up to 40 GiB are in use already at rank 1 on a"


def test_wrong_sums_fail() -> None:
    diagnosis = only(read(answers(talk={1: {"right": False}})))
    assert (diagnosis.level, diagnosis.text) == ("fail", "wrong sums at rank 1")


def test_a_slow_link_is_worth_a_word() -> None:
    diagnosis = only(read(answers(talk={1: {"rates": {"1048576": 1000.0}}})))
    assert (diagnosis.level, diagnosis.check) == ("warn", "all-reduce")


def test_clocks_apart_warn_and_fail() -> None:
    assert only(read(answers(clock={1: {"ahead": -2.5}}))).level == "warn"
    diagnosis = only(read(answers(clock={1: {"ahead": 100.0}})))
    assert diagnosis.level == "fail"
    assert diagnosis.text == "ranks differ by 100.000 s (rank 0 on a, rank 1 on a)"


def test_a_slow_disk_is_worth_a_word() -> None:
    diagnosis = only(read(answers(folder={0: {"rate": 2.0**20}})))
    assert (diagnosis.level, diagnosis.check) == ("warn", "run folder")
