"""Values that are no time and no id; and a row's fate does not depend on the rows around it."""

import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from launch.errors import InputError
from pairs.config import ColumnsConfig
from pairs.reading import own_tables
from pairs.reading.bad_rows import Ledger
from tests.raw_lines import RATINGS, REVIEW, read_metadata, read_reviews, write

NO_JSON = b"!\n"
"""A line that sends its block to the careful reader."""
MANY = 200


def line(user: str = '"U"', item: str = '"A"', time: str = "1500000000") -> bytes:
    """A review of 2014 with these JSON values."""
    return f'{{"reviewerID": {user}, "asin": {item}, "unixReviewTime": {time}}}\n'.encode()


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (line(time="4102444800"), "unixReviewTime must not be later than the year 2099"),
        (line(time="99999999999"), "unixReviewTime must not be later than the year 2099"),
        (line(time="9999999999999"), "unixReviewTime must not be later than the year 2099"),
        (line(time="788918399"), "unixReviewTime must not be before 1995"),
        (line(time="0"), "unixReviewTime must not be before 1995"),
        (line(time="-1"), "unixReviewTime must not be negative"),
        (line(user='["U1", "U2"]'), "reviewerID must be one id, not a list"),
        (line(item="[]"), "asin must be one id, not a list"),
        (line(item='{"id": "A"}'), "asin must be one id, not a mapping"),
        (line(user="true"), "reviewerID must be one id, not true or false"),
    ],
)
@pytest.mark.parametrize("also", [b"", NO_JSON], ids=["quick", "careful"])
def test_bad_time_or_id_is_a_bad_row_of_its_own_kind(tmp_path: Path, bad: bytes, said: str, also: bytes) -> None:
    path = write(tmp_path / "r.json", REVIEW * 17 + bad + REVIEW * MANY + also)
    ledger = Ledger(0.01)
    assert read_reviews(path, ledger).height == MANY + 17
    assert ledger.describe()["files"][0]["bad"][said] == 1
    assert ledger.files[0].first == (18, said)
    with pytest.raises(InputError, match=f"line 18: {said}; . of the 21. lines read are bad"):
        read_reviews(path, Ledger(0.001))


@pytest.mark.parametrize(
    ("title", "what"),
    [('["a", "b"]', "a list"), ("[]", "a list"), ('{"en": "a"}', "a mapping"), ("true", "true or false")],
)
@pytest.mark.parametrize("also", [b"", NO_JSON], ids=["quick", "careful"])
def test_title_that_is_no_text_is_a_bad_row(tmp_path: Path, title: str, what: str, also: bytes) -> None:
    good, bad = (f'{{"asin": "A", "title": {text}}}\n'.encode() for text in ('"[Sealed] Tea [2]"', title))
    path = write(tmp_path / "m.json", good * 17 + bad + good * MANY + also)
    ledger = Ledger(0.01)
    items = read_metadata(path, ledger)
    assert items["title"].to_list() == ["[Sealed] Tea [2]"] * (MANY + 17)
    assert ledger.files[0].first == (18, f"title must be one text, not {what}")
    own = write(tmp_path / "own.jsonl", good.replace(b"asin", b"item") * 17 + bad.replace(b"asin", b"item"))
    with pytest.raises(InputError, match=f"line 18: title must be one text, not {what}"):
        pl.concat(own_tables.read_items(own, ColumnsConfig(), Ledger(0.001), max_chars=99))


@pytest.mark.parametrize("key", ["reviewerID", "asin"])
@pytest.mark.parametrize("also", [b"", NO_JSON], ids=["quick", "careful"])
def test_an_id_without_end_is_a_bad_row(tmp_path: Path, key: str, also: bytes) -> None:
    bad = line(**{"user" if key == "reviewerID" else "item": f'"{"x" * 1001}"'})
    ledger = Ledger(0.01)
    assert read_reviews(write(tmp_path / "r.json", REVIEW * MANY + bad + also), ledger).height == MANY
    assert ledger.files[0].first == (MANY + 1, f"{key} must not be longer than 1000 bytes")
    items = write(tmp_path / "m.json", f'{{"asin": "A", "title": "a"}}\n{{"asin": "{"x" * 1001}"}}\n'.encode() + also)
    assert read_metadata(items, Ledger(0.9)).height == 1


@pytest.mark.parametrize("time", ["788918400", "4102444799", "788918400000", "4102444799999", "4102444799999999"])
def test_first_and_last_moment_are_good(tmp_path: Path, time: str) -> None:
    seconds = read_reviews(write(tmp_path / "r.json", line(time=time)))["time"].item()
    assert seconds == int(time[: 9 if time.startswith("7") else 10])


@pytest.mark.parametrize(
    ("time", "said"), [("7", "must not be before 1995"), ("5000000000", "later than the year 2099")]
)
def test_times_of_ratings_have_the_same_bounds(tmp_path: Path, time: str, said: str) -> None:
    with pytest.raises(InputError, match=f"line 2: timestamp .*{said}"):
        read_reviews(write(tmp_path / "r.csv", RATINGS + f"A2IBPI20UZIR0U,B004LLIKVU,5.0,{time}\n".encode()))


@pytest.mark.parametrize("name", ["t.csv", "t.json", "t.parquet"])
def test_own_tables_may_count_time_from_0_and_end_with_2099(tmp_path: Path, name: str) -> None:
    rows = pl.DataFrame({"user": ["u", "v"], "item": ["i", "i"], "time": [0, 5_000_000_000]})

    def read(table: pl.DataFrame) -> list[int]:
        path = tmp_path / name
        match path.suffix:
            case ".csv":
                table.write_csv(path)
            case ".json":
                table.write_ndjson(path)
            case _:
                table.write_parquet(path)
        times: list[int] = pl.concat(own_tables.read_events(path, ColumnsConfig(), Ledger(0.0)))["time"].to_list()
        return times

    assert read(rows[:1]) == [0]
    with pytest.raises(InputError, match="time must not be later than the year 2099"):
        read(rows)


def test_list_column_of_a_parquet_table_is_no_id(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pl.DataFrame({"user": [["u"]], "item": ["i"], "time": [1]}).write_parquet(path)
    with pytest.raises(InputError, match=r"column user holds List\(String\), no ids; set pair\.columns\.user"):
        pl.concat(own_tables.read_events(path, ColumnsConfig(), Ledger(0.0)))


def test_text_that_looks_like_a_list_is_an_id(tmp_path: Path) -> None:
    path = write(tmp_path / "r.json", line(user='"[1]"', item='"true"'))
    assert read_reviews(path).select("user", "item").rows() == [("[1]", "true")]


def test_of_a_key_that_stands_twice_the_first_value_counts(tmp_path: Path) -> None:
    twice = b'{"asin": "A", "asin": "B", "unixReviewTime": 1500000000, "reviewerID": "U", "unixReviewTime": null}\n'
    quick = read_reviews(write(tmp_path / "r.json", twice))
    careful = read_reviews(write(tmp_path / "r.json", twice + NO_JSON), Ledger(0.9))
    literal = read_reviews(write(tmp_path / "r.json", twice.replace(b'"', b"'").replace(b"null", b"None")))
    assert quick.rows() == careful.rows() == literal.rows() == [("U", "A", 1_500_000_000, None)]


def test_titles_of_a_key_that_stands_twice_agree(tmp_path: Path) -> None:
    twice = b'{"asin": "A", "title": "one", "categories": ["x"], "title": "two", "categories": ["y"]}\n'
    rows = read_metadata(write(tmp_path / "m.json", twice)).rows()
    assert rows == [("A", "one", "x", False)]
    assert read_metadata(write(tmp_path / "m.json", twice.replace(b'"', b"'"))).rows() == rows


@settings(max_examples=100, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    titles=st.lists(
        st.recursive(
            st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=4)
            | st.sampled_from(["[1]", "{}", "true", "[a", "b]"]),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
            max_leaves=3,
        ),
        min_size=1,
        max_size=4,
    )
)  # fmt: skip
def test_quick_and_careful_reader_agree_on_any_title(tmp_path: Path, titles: list[object]) -> None:
    good = b'{"asin": "A", "title": "a"}\n'
    lines = [json.dumps({"asin": "A", "title": title}).encode() + b"\n" for title in titles]
    beside = [read_metadata(write(tmp_path / "one.json", good + one), Ledger(0.99))[1:].rows() for one in lines]
    careful = read_metadata(write(tmp_path / "all.json", b"".join([good, *lines, NO_JSON])), Ledger(0.99))[1:]
    assert careful.rows() == [row for part in beside for row in part]


scalars = st.none() | st.booleans() | st.integers(-(10**45), 10**45) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(max_size=4) | st.sampled_from(["[1]", "{}", "true", "\ud800", "a\ud800b", "\udfff", " "])
values = scalars | texts | st.lists(scalars | texts, max_size=2) | st.dictionaries(texts, scalars, max_size=2)
written = st.lists(
    st.tuples(
        st.sampled_from(["reviewerID", "asin", "unixReviewTime", "overall", "other"]),
        values | st.integers(788_918_400, 4_102_444_799),
    ),
    max_size=6,
)


@settings(max_examples=150, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(written, st.booleans()), min_size=1, max_size=4))
def test_quick_and_careful_reader_make_the_same_of_any_row(
    tmp_path: Path, rows: list[tuple[list[tuple[str, object]], bool]]
) -> None:
    """Alone behind a good row a line is read by polars if it can be; a line that is no JSON sends all line by line."""
    good = '"reviewerID": "U", "asin": "A", "unixReviewTime": 1500000000'
    lines = [
        ("{" + ", ".join([*(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in row), *[good] * whole]) + "}\n").encode()
        for row, whole in rows
    ]
    beside = [(read_reviews(write(tmp_path / "one.json", REVIEW + one), Ledger(0.99))[1:]).rows() for one in lines]
    careful = read_reviews(write(tmp_path / "all.json", b"".join([REVIEW, *lines, NO_JSON])), Ledger(0.99))[1:]
    assert careful.rows() == [row for part in beside for row in part]
