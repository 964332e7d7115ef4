"""Attributes by a language model, against a real HTTP server on this machine and against real answers."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from launch.errors import InputError
from pairs.chat_client import ChatClient, NoAnswer, RateLimit, key_from_environment
from pairs.llm_attributes import add_llm_attributes, hash_title, parse_answer, read_answers
from pairs.llm_config import LlmAttributesConfig
from pairs.text import attribute_words

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "amazon_art_office" / "llm_attributes.jsonl.gz"
ITEMS = pl.DataFrame(
    {
        "item": [0, 1, 2, 3],
        "domain": [0, 0, 1, 1],
        "source_id": ["a", "b", "c", "d"],
        "title": ["Green Tea", "Green Tea", "Cup", "Odd thing"],
        "attributes": ["", "catalogue words", "more words", "odd words"],
    }
)
NAMES = ("tea", "kitchen")
LISTS = {
    "Green Tea": '["Drinks", "Green Tea"]',
    "Cup": 'Here it is:\n["Kitchen", "Cups & Mugs"]',
    "Odd thing": "Sorry.",
}


@dataclass
class Endpoint:
    """A scripted endpoint: what it does before it answers, and what it was asked."""

    troubles: list[int | bytes] = field(default_factory=list)
    """Statuses or bodies that are sent first, in order."""
    always: int | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: dict[str, Any], key: str | None) -> tuple[int, bytes]:
        with self.lock:
            self.asked.append(request)
            self.keys.append(key)
            trouble = self.troubles.pop(0) if self.troubles else self.always
        if isinstance(trouble, int):
            return trouble, b"{}"
        if isinstance(trouble, bytes):
            return 200, trouble
        prompt = request["messages"][0]["content"]
        text = next(answer for title, answer in LISTS.items() if f'"{title}"' in prompt)
        return 200, json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


@contextmanager
def served(endpoint: Endpoint) -> Iterator[Endpoint]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/chat/completions"
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, body = endpoint.answer(request, self.headers.get("Authorization"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if status == 429:
                self.send_header("Retry-After", "7")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    endpoint.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield endpoint
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


def config(endpoint: Endpoint, tmp_path: Path, **changes: Any) -> LlmAttributesConfig:
    settings = {"answers": str(tmp_path / "answers.jsonl"), "model": "m", "requests_per_minute": 1e6, "retries": 0}
    return LlmAttributesConfig(source="endpoint", endpoint=endpoint.url, **{**settings, **changes})


def add(settings: LlmAttributesConfig) -> tuple[list[str], dict[str, Any]]:
    items, facts = add_llm_attributes(ITEMS, NAMES, settings, max_bad_share=0.0, numbered=False)
    return items["attributes"].to_list(), facts


EXPECTED = ["drinks green tea", "drinks green tea", "kitchen cups mugs", "odd words"]
COUNTS = {"source": "endpoint", "model": "m", "answered": 3, "empty": 0, "bad": 1, "missing": 0}


def test_answers_are_used_and_a_bad_one_falls_back_to_the_catalogue(tmp_path: Path) -> None:
    with served(Endpoint()) as endpoint:
        assert add(config(endpoint, tmp_path)) == (EXPECTED, COUNTS)
    assert len(endpoint.asked) == 3, "a title is asked about once"
    assert endpoint.asked[0]["model"] == "m"
    lines = (tmp_path / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 3
    assert sum("raw" in json.loads(line) for line in lines) == 1


def test_what_was_answered_is_not_asked_again_even_after_a_torn_line(tmp_path: Path) -> None:
    with served(Endpoint()) as endpoint:
        settings = config(endpoint, tmp_path)
        add(settings)
        path = tmp_path / "answers.jsonl"
        path.write_bytes(path.read_bytes()[:-10])  # killed while it wrote the last line
        endpoint.asked.clear()
        assert add(settings) == (EXPECTED, COUNTS)
        assert len(endpoint.asked) == 1
        assert add(settings) == (EXPECTED, COUNTS)
        assert len(endpoint.asked) == 1
        add(config(endpoint, tmp_path, model="another"))
        assert len(endpoint.asked) == 4, "another model's answers are others"


def test_title_that_is_never_answered_keeps_the_catalogue_and_is_asked_next_time(tmp_path: Path) -> None:
    with served(Endpoint(troubles=[500])) as endpoint:
        attributes, facts = add(config(endpoint, tmp_path, concurrency=1))
        assert (facts["answered"], facts["bad"], facts["missing"]) == (1, 1, 2)
        assert attributes == ["", "catalogue words", "kitchen cups mugs", "odd words"]
        assert add(config(endpoint, tmp_path)) == (EXPECTED, COUNTS)


def test_endpoint_that_never_answers_ends_the_run(tmp_path: Path) -> None:
    many = pl.concat([ITEMS.with_columns(pl.col("title") + f" {n}") for n in range(8)]).with_row_index("n")
    with (
        served(Endpoint(always=503)) as endpoint,
        pytest.raises(InputError, match=r"20 requests in a row .* status 503"),
    ):
        add_llm_attributes(
            many.with_columns(item="n"), NAMES, config(endpoint, tmp_path), max_bad_share=0.0, numbered=False
        )


def client(endpoint: Endpoint, pauses: list[float], **changes: Any) -> ChatClient:
    settings: dict[str, Any] = {"retries": 5, "key": None, "sleep": pauses.append, **changes}
    return ChatClient(url=endpoint.url, model="m", limit=RateLimit(1e6), **settings)


def test_busy_endpoint_is_asked_again_after_growing_pauses() -> None:
    pauses: list[float] = []
    with served(Endpoint(troubles=[500, 429, b"not json", b'{"choices": []}'])) as endpoint:
        assert client(endpoint, pauses).ask('"Cup"') == LISTS["Cup"]
    assert pauses == [1.0, 7.0, 4.0, 8.0]  # 7: the endpoint named it


def test_retries_come_to_an_end() -> None:
    pauses: list[float] = []
    with served(Endpoint(always=500)) as endpoint, pytest.raises(NoAnswer, match="status 500"):
        client(endpoint, pauses, retries=2).ask("x")
    assert len(endpoint.asked) == 3
    assert pauses == [1.0, 2.0]


def test_silent_and_absent_endpoints_are_no_answer() -> None:
    with pytest.raises(NoAnswer, match="refused"):
        client(Endpoint(url="http://127.0.0.1:9/v1"), [], retries=1).ask("x")


@pytest.mark.parametrize("status", [401, 404])
def test_request_that_can_never_succeed_is_refused_at_once(status: int) -> None:
    with served(Endpoint(always=status)) as endpoint, pytest.raises(InputError, match=f"status {status}; check"):
        client(endpoint, []).ask("x")
    assert len(endpoint.asked) == 1


def test_key_comes_from_the_environment_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with served(Endpoint()) as endpoint:
        settings = config(endpoint, tmp_path, key_env="TEA_KEY")
        with pytest.raises(InputError, match="the environment has no TEA_KEY"):
            add(settings)
        monkeypatch.setenv("TEA_KEY", "secret-leaf")
        add(settings)
    assert set(endpoint.keys) == {"Bearer secret-leaf"}
    assert "secret-leaf" not in (tmp_path / "answers.jsonl").read_text(encoding="utf-8")
    assert key_from_environment(None) is None


def test_rate_limit_spreads_requests_evenly() -> None:
    now = [100.0]
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(round(seconds, 6))
        now[0] += seconds

    limit = RateLimit(60, clock=lambda: now[0], sleep=sleep)
    for _ in range(3):
        limit.wait()
    now[0] += 5
    limit.wait()
    assert pauses == [1.0, 1.0]


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        ('["a", " b "]', ["a", "b"]),
        ('```json\n["a"]\n```', ["a"]),
        ("[]", []),
        ('["a", 5]', None),
        ('["a", "b"', None),
        ("[a, b]", None),
        ("[" * 100_000 + "]" * 100_000, None),
        ("Sorry.", None),
    ],
)
def test_answer_is_one_list_of_texts_or_bad(text: str, attributes: list[str] | None) -> None:
    assert parse_answer(text) == attributes


@pytest.mark.skipif(not REAL.is_file(), reason=f"the real answers are not at {REAL}")
def test_real_answers_are_read_with_their_five_bad_ones() -> None:
    settings = LlmAttributesConfig(source="answers", answers=str(REAL))
    answers = read_answers(REAL, settings, max_bad_share=0.0).by_item
    assert (len(answers), sum(found is None for found in answers.values())) == (38_396, 5)
    raws = [json.loads(line) for line in gzip.decompress(REAL.read_bytes()).splitlines() if b'"raw"' in line]
    assert [parse_answer(row["raw"]) for row in raws] == [None] * 5
    items = pl.DataFrame({"item": range(38_396), "domain": 0, "title": "t", "attributes": "of the catalogue"})
    chosen, facts = add_llm_attributes(items, NAMES, settings, max_bad_share=0.0, numbered=True)
    assert (facts["answered"], facts["empty"], facts["bad"], facts["missing"]) == (38_387, 4, 5, 0)
    assert chosen["attributes"][0] == "arts crafts sewing picture framing supplies"
    assert chosen["attributes"][4015] == "of the catalogue"
    with pytest.raises(InputError, match="fit a released pair only"):
        add_llm_attributes(items, NAMES, settings, max_bad_share=0.0, numbered=False)


def test_answers_of_another_run_are_used_by_title(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [{"title_hash": hash_title("tea", "Green Tea"), "model": "any", "attributes": ["Leaf"]}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    attributes, facts = add(LlmAttributesConfig(source="answers", answers=str(path)))
    assert attributes == ["leaf", "leaf", "more words", "odd words"]
    assert facts["missing"] == 2


@pytest.mark.parametrize("text", ["{}", '{"item": 1}', '{"attributes": ["a"]}', "rubbish"])
def test_file_of_other_things_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.jsonl").write_text(text + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"a\.jsonl: line 1: "):
        add(LlmAttributesConfig(source="answers", answers=str(tmp_path / "a.jsonl")))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"source": "endpoint"}, "pair.llm_attributes.answers must be given with source=endpoint"),
        ({"source": "endpoint", "answers": "a", "model": "m", "endpoint": "host:1"}, "endpoint must be an http"),
        (
            {"source": "endpoint", "answers": "a.gz", "model": "m", "endpoint": "http://h"},
            "must be a plain file to grow",
        ),
        ({"concurrency": 0}, "pair.llm_attributes.concurrency must be positive"),
        ({"retries": -1}, "pair.llm_attributes.retries must not be negative"),
    ],
)
def test_wrong_setting_is_refused(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=r"pair\.llm_attributes") as refusal:
        LlmAttributesConfig(**wrong)
    assert named in str(refusal.value)


def test_attributes_of_an_answer_are_words_as_the_catalogue_has_them() -> None:
    frame = pl.DataFrame({"llm": [["Arts & Crafts", "arts"]]})
    assert frame.select(attribute_words("llm")).item() == "arts crafts"
