"""The Python-literal lines of 2014 are read as Python would read them, and nothing in them is ever run."""

import ast
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairs.reading.bad_rows import BadRow
from pairs.reading.json_lines import parse_object

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
scalars = st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats(allow_nan=False) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)
objects = st.dictionaries(texts, values, min_size=1, max_size=4)


@settings(max_examples=200, deadline=None)
@given(objects)
def test_every_python_literal_is_read_as_python_reads_it(value: dict[str, Any]) -> None:
    line = repr(value)
    if "inf" not in line:
        assert parse_object(line.encode()) == ast.literal_eval(line) == value


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b"{'asin': 'A', 'title': \"Bob's \\\"big\\\" tea\"}", {"asin": "A", "title": 'Bob\'s "big" tea'}),
        (b"{u'asin': u'A', 'n': None, 'ok': True,}", {"asin": "A", "n": None, "ok": True}),
        (b"{'salesRank': {'Books': 12}, 'pair': (1, 2,)}", {"salesRank": {"Books": 12}, "pair": [1, 2]}),
        (b"{'t': 'caf\\xe9 \\u2019 \\101 \\q'}", {"t": "caf\u00e9 \u2019 A \\q"}),
        (b"{'t': 'None of True [these]'}\r", {"t": "None of True [these]"}),
    ],
)
def test_forms_of_2014_are_read(line: bytes, value: dict[str, Any]) -> None:
    assert parse_object(line) == value


@pytest.mark.parametrize(
    "line",
    [
        b"{'a': __import__('os').system('true')}",
        b"{'a': open('x')}",
        b"{'a': 1 + 1}",
        b"{'a': [1][0]}",
        b"{'a': 9**9**9**9}",
        b"{'a': {1, 2}}",
        b"{'a': b'bytes'}",
        b"{'a': 'x' 'y'}",
        b"{'a': f'{1}'}",
        b"{'a': " + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a": ' + b"9" * 10_000 + b"}",
        b"{'a': " + b"-" * 100_000 + b"1}",
        b"{'a': '" + b"\\" * 99_999,
        b'{"a": NaN}',
        b'{"a": "\xff"}',
        b"{'a': 1",
        b"[]",
        b"null",
    ],
)
def test_anything_else_is_a_bad_row(line: bytes) -> None:
    with pytest.raises(BadRow):
        parse_object(line)
