"""The released form: what is read, and how each kind of broken file is refused."""

import gzip
import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zstandard

from launch.errors import InputError
from pairs.released.read import read_released
from tests.fifos import fifo_at

ART_OFFICE = Path(__file__).parents[4] / ".." / "shared" / "data" / "amazon_art_office"
ITEMS = "idBefore,item_title,idAfter,item_attribute\n"
TRAIN = "0\t7\t1|5|5\t3|6|6\t2|7|7\t\n0\t7\t1|5|5\t3|6|6\t4|7|7\t\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three items a domain, one user a split."""
    art = ITEMS + 'a,Blue &amp; red paint,0,Arts paint\nb,"brush, fine",1,arts brush\nc,canvas,2,arts\n'
    office = ITEMS + "a,pen,3,office pen\nb,ink,4,office ink\nc,desk,5,office\n"
    (tmp_path / "art_items.csv").write_text(art, encoding="utf-8")
    (tmp_path / "office_items.csv").write_text(office, encoding="utf-8")
    (tmp_path / "train.txt").write_text(TRAIN, encoding="utf-8")
    (tmp_path / "valid.txt").write_text("1\t2\t0|0|0\t5|1|1\t3|2|2\t\n1\t2\t0|0|0\t5|1|1\t1|2|2\t\n", encoding="utf-8")
    (tmp_path / "test.txt").write_text("2\t9\t4|9|9\t0|1|1\t5|3|3\n", encoding="utf-8")
    return tmp_path


def test_catalogues_are_read_in_id_order_with_clean_titles(folder: Path) -> None:
    pair = read_released(folder)
    assert pair.names == ("art", "office")
    assert pair.items["domain"].to_list() == [0, 0, 0, 1, 1, 1]
    assert pair.items["title"].to_list() == ["Blue & red paint", "brush, fine", "canvas", "pen", "ink", "desk"]
    assert pair.items["attributes"][0] == "arts paint"


def test_target_is_the_item_at_answer_time_and_history_all_before_it(folder: Path) -> None:
    train = read_released(folder).samples["train"]
    assert train.target.tolist() == [2, 4]
    assert train.domain.tolist() == [0, 1]
    assert train.history_of(0).tolist() == train.history_of(1).tolist() == [1, 3]


def test_events_are_ordered_by_time_not_by_place_in_the_line(folder: Path) -> None:
    test = read_released(folder).samples["test"]
    assert test.history_of(0).tolist() == [0, 5]
    assert test.target.tolist() == [4]


def test_sample_ids_run_through_train_valid_and_test(folder: Path) -> None:
    samples = read_released(folder).samples
    assert np.concatenate([samples[s].sample for s in ("train", "valid", "test")]).tolist() == [0, 1, 2, 3, 4]


def test_positions_are_not_taken_for_timestamps(folder: Path) -> None:
    assert read_released(folder).samples["train"].history_time is None


def test_real_timestamps_are_kept(folder: Path) -> None:
    for name in ("train", "valid", "test"):
        text = (folder / f"{name}.txt").read_text(encoding="utf-8")
        stamped = re.sub(r"(?<=\|)(?=\d)|(?<=^\d\t)", "15000000", text, flags=re.MULTILINE)
        (folder / f"{name}.txt").write_text(stamped, encoding="utf-8")
    train = read_released(folder).samples["train"]
    assert train.history_time is not None
    assert train.target_time is not None
    assert train.history_time.tolist() == [150000005, 150000006] * 2
    assert train.target_time.tolist() == [150000007, 150000007]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gz", "zst"])
def test_compressed_files_read_like_plain_ones(folder: Path, pack: Callable[[bytes], bytes]) -> None:
    plain = read_released(folder)
    for path in list(folder.iterdir()):
        suffix = ".gz" if pack is gzip.compress else ".zst"
        path.with_name(path.name + suffix).write_bytes(pack(path.read_bytes()))
        path.unlink()
    packed = read_released(folder)
    assert packed.items.equals(plain.items)
    assert packed.samples["train"].history.tolist() == plain.samples["train"].history.tolist()


def test_users_file_gives_the_source_ids(folder: Path) -> None:
    (folder / "users.txt").write_text("AAA\t0\nBBB\t1\nCCC\t2\nDDD\t3\n", encoding="utf-8")
    assert read_released(folder).users.rows() == [(0, "AAA"), (1, "BBB"), (2, "CCC")]


def test_history_at_the_time_of_the_target_is_not_before_it(folder: Path) -> None:
    (folder / "train.txt").write_text("3\t7\t1|5|5\t3|7|7\t2|7|7\t\n" + TRAIN, encoding="utf-8")
    train = read_released(folder).samples["train"]
    assert train.history_of(0).tolist() == [1]
    assert train.target[0] == 2


def append(name: str, line: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write(line)

    return change


def truncate(folder: Path) -> None:
    packed = gzip.compress((folder / "train.txt").read_bytes() * 50)
    (folder / "train.txt").unlink()
    (folder / "train.txt.gz").write_bytes(packed[:-10])


def rename_to_gz(folder: Path) -> None:
    (folder / "train.txt").rename(folder / "train.txt.gz")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "valid.txt").unlink(), r"valid\.txt\[\.gz\]: no such file"),
        (lambda folder: (folder / "art_items.csv").unlink(), "holds 1 files NAME_items"),
        (truncate, r"train\.txt\.gz: truncated or damaged"),
        (rename_to_gz, r"train\.txt\.gz: is not a gz file"),
        (append("train.txt", "3\t2\t0|0\t4|2|2\t\n"), r"train\.txt: line 3 has a wrong number of fields in '0\|0'"),
        (append("train.txt", "3\t2\t0|0|0|0\t4|2|2\t\n"), r"line 3 has a wrong number of fields"),
        (append("train.txt", "3\t2\t4|2|2\t\n"), "line 3 needs a history and a target"),
        (append("train.txt", "\n"), "line 3 must begin with user TAB answer_time"),
        (append("train.txt", "3\t2\tx|1|1\t4|2|2\t\n"), r"line 3 has no numbers in 'x\|1\|1'"),
        (append("train.txt", "3\t2\t6|1|1\t4|2|2\t\n"), r"line 3 names item 6, outside the catalogue \(0\.\.5\)"),
        (append("train.txt", "3\t2\t0|1|1\t-1|2|2\t\n"), "line 3 names item -1, outside the catalogue"),
        (append("train.txt", "3\t2\t0|5|5\t4|2|2\t\n"), "item 0 at time 5, later than its target at 2"),
        (append("train.txt", "3\t3\t0|1|1\t4|2|2\t\n"), "line 3 has no item at its answer_time 3"),
        (append("train.txt", "3\t2\t0|2|2\t4|2|2\t\n"), "line 3 has no history before its answer_time"),
        (append("test.txt", TRAIN), r"user 0 is in two splits, .*train\.txt and test\.txt"),
        (append("art_items.csv", "9,only two\n"), r"art_items\.csv: row 5 has 2 fields"),
        (append("art_items.csv", "9,gap,z,\n"), "row 5: idAfter must be a number, got 'z'"),
        (append("art_items.csv", "9,gap,9,\n"), "idAfter must run from 0 .* 3 is missing or 9 is there twice"),
        (lambda folder: (folder / "office_items.csv").write_text(ITEMS), r"office_items\.csv: holds no item: an empty"),
        (lambda folder: (folder / "test.txt").write_text(""), r"test\.txt: holds no sample"),
        (lambda folder: (folder / "users.txt").write_text("AAA\t0\n"), r"users\.txt: has no line for user 1"),
        (lambda folder: (folder / "users.txt").write_text("AAA\n"), r"users\.txt: line 1 has a wrong number"),
        (lambda folder: (folder / "test.txt").write_bytes(b"2\t9\n\xff\n"), r"test\.txt: line 2 is not UTF-8"),
    ],
)
def test_broken_file_is_refused_by_file_and_row(folder: Path, change: Callable[[Path], object], said: str) -> None:
    change(folder)
    with pytest.raises(InputError, match=said) as refusal:
        read_released(folder)
    assert "\n" not in str(refusal.value)


def swap_columns(folder: Path) -> None:
    rows = [line.split(",") for line in (folder / "office_items.csv").read_text(encoding="utf-8").splitlines()]
    swapped = "".join(",".join(row[place] for place in (3, 1, 2, 0)) + "\n" for row in rows)
    (folder / "office_items.csv").write_text(swapped, encoding="utf-8")


def test_columns_are_found_by_the_header_in_any_order(folder: Path) -> None:
    plain = read_released(folder)
    swap_columns(folder)
    (folder / "art_items.csv").write_text(
        "price, idAfter ,item_attribute,item_title,idBefore\n"
        '9,0,Arts paint,Blue &amp; red paint,a\n,1,arts brush,"brush, fine",b\n9,2,arts,canvas,c\n',
        encoding="utf-8-sig",
    )
    assert read_released(folder).items.equals(plain.items)


def change_header(line: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / "art_items.csv").read_text(encoding="utf-8")
        (folder / "art_items.csv").write_text(text.replace(ITEMS, line), encoding="utf-8")

    return change


def copy_packed(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))

    return change


def in_milliseconds(folder: Path) -> None:
    for name in ("train", "valid", "test"):
        text = (folder / f"{name}.txt").read_text(encoding="utf-8")
        stamped = re.sub(r"(?<=\|)(?=\d)|(?<=^\d\t)", "150000000000", text, flags=re.MULTILINE)
        (folder / f"{name}.txt").write_text(stamped, encoding="utf-8")


USER_3 = "3\t2\t0|0|0\t4|1|1\t1|2|2\t\n"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (change_header("item_title,idBefore,idAfter\n"), r"art_items\.csv: row 1 names no item_attribute"),
        (change_header(""), r"art_items\.csv: row 1 names no idBefore"),
        (change_header("idBefore,item_title,idAfter,idAfter,item_attribute\n"), "row 1 names idAfter twice"),
        (append("art_items.csv", "a,again,9,\n"), r"art_items\.csv: row 5: idBefore 'a' is there twice"),
        (append("art_items.csv", ",none,9,\n"), r"art_items\.csv: row 5: idBefore is blank"),
        (append("art_items.csv", "9,same,2,\n"), r"art_items\.csv: row 5: idAfter 2 is there twice"),
        (append("train.txt", "0\t7\t1|5|5\t3|6|6\t4|7|7\n"), r"train\.txt: line 3 repeats line 2"),
        (append("train.txt", "0\t7\t3|6|6\t1|5|5\t4|7|7\n"), r"train\.txt: line 3 repeats line 2"),
        (append("train.txt", "0\t7\t1|5|5\t3|6|6\t0|7|7\t\n"), r"train\.txt: line 3 is the third of user 0"),
        (append("train.txt", USER_3 * 2), r"train\.txt: line 4 repeats line 3"),
        (append("train.txt", USER_3.replace("3\t2", "-3\t2")), "line 3 has a negative user -3"),
        (append("train.txt", "3\t2\t0|-5|-5\t4|1|1\t1|2|2\t\n"), r"line 3 has a negative time in '0\|-5\|-5'"),
        (append("train.txt", "3\t-1\t0|-5|-5\t4|-2|-2\t1|-1|-1\t\n"), "line 3 has a negative answer_time -1"),
        (in_milliseconds, r"train\.txt: line 1 has a time later than the year 2100 .*milliseconds"),
        (append("train.txt", "3\t1500000002\t0|0|0\t1|1500000002|1500000002\n"), "line 1 has the position 5"),
        (copy_packed("train.txt"), r"train\.txt and train\.txt\.gz are both there; remove one"),
        (copy_packed("art_items.csv"), r"art_items\.csv and art_items\.csv\.gz are both there; remove one"),
        (append("users.txt", "AAA\t0\nBBB\t1\nCCC\t2\nDDD\t2\n"), r"users\.txt: line 4 .* user 2 is there twice"),
        (append("users.txt", "AAA\t0\nBBB\t1\nAAA\t2\n"), r"users\.txt: line 3 .* 'AAA' is there twice"),
        (append("users.txt", "AAA\t0\nBBB\t1\nAAA\t-2\n"), r"users\.txt: line 3 must end with a user number"),
        (append("users.txt", "AAA\t0\nBBB\t1\n\t2\n"), r"users\.txt: line 3 has a blank source_id"),
    ],
)  # fmt: skip
def test_what_would_pass_in_silence_is_refused(folder: Path, change: Callable[[Path], object], said: str) -> None:
    change(folder)
    with pytest.raises(InputError, match=said) as refusal:
        read_released(folder)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["train.txt", "art_items.csv", "users.txt"])
def test_fifo_and_folder_in_the_place_of_a_file_are_refused(folder: Path, name: str) -> None:
    with fifo_at(folder / name), pytest.raises(InputError, match=rf"{re.escape(name)}: is a FIFO and no file"):
        read_released(folder)
    (folder / name).unlink()
    (folder / name).mkdir()
    with pytest.raises(InputError, match=rf"{re.escape(name)}: is a folder and no file"):
        read_released(folder)


@pytest.mark.skipif(not ART_OFFICE.is_dir(), reason="the Art-Office pair is not beside the checkout")
def test_art_office_is_read_to_the_last_bit() -> None:
    pair = read_released(ART_OFFICE)
    digest = hashlib.sha256()
    for table in (pair.items, pair.users):
        digest.update(table.write_json().encode())
    for split in ("train", "valid", "test"):
        samples = pair.samples[split]
        for column in ("sample", "user", "domain", "target", "history", "offsets"):
            digest.update(getattr(samples, column).astype("<i8").tobytes())
        assert samples.history_time is samples.target_time is None
    assert digest.hexdigest() == "eaee749a61ff19f0612198375d43cc7a841f89b6b55186b19d1a1b5d130cd751"
