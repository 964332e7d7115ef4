"""Attributes from an endpoint: a real HTTP server on this machine, well and badly behaved."""

import gzip
import json
import logging
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from launch.errors import InputError
from pairs.attributes.endpoint import EndpointSource, key_from_environment
from pairs.attributes.replace import add_llm_attributes, open_source
from pairs.attributes_config import LlmAttributesConfig
from tests.attribute_items import ITEMS, NAMES, REAL

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
    headers: dict[str, str] = field(default_factory=lambda: {"Retry-After": "7"})
    """Sent with status 429 and with redirections."""
    lists: dict[str, str] = field(default_factory=lambda: LISTS)
    times: list[float] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: dict[str, Any], key: str | None) -> tuple[int, bytes]:
        with self.lock:
            self.asked.append(request)
            self.times.append(time.monotonic())
            self.keys.append(key)
            trouble = self.troubles.pop(0) if self.troubles else self.always
        if isinstance(trouble, int):
            return trouble, b"{}"
        if isinstance(trouble, bytes):
            return 200, trouble
        prompt = request["messages"][0]["content"]
        text = self.lists[prompt.split('"')[1]]
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
            for name, value in endpoint.headers.items() if status == 429 or 300 <= status < 400 else ():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            endpoint.keys.append(self.headers.get("Authorization"))
            self.send_error(404)

        def log_message(self, *words: object) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 64  # with the usual 5, a ninth caller waits a second

    server = Server(("127.0.0.1", 0), Handler)
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
        pytest.raises(InputError, match=r"3 requests in a row .* status 503"),
    ):
        add_llm_attributes(
            many.with_columns(item="n"), NAMES, config(endpoint, tmp_path), max_bad_share=0.0, numbered=False
        )


def test_absent_endpoint_is_said_at_once_and_ends_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}/v1"
    many = pl.concat([ITEMS.with_columns(pl.col("title") + f" {n}") for n in range(200)]).with_row_index("n")
    settings = config(Endpoint(url=url), tmp_path, retries=1)
    begin = time.monotonic()
    with pytest.raises(InputError, match=r"3 requests in a row were not answered, the last with .*refused"):
        add_llm_attributes(many.with_columns(item="n"), NAMES, settings, max_bad_share=0.0, numbered=False)
    assert time.monotonic() - begin < 20
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == 1
    assert "Connection refused" in said[0]


def test_key_comes_from_the_environment_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with served(Endpoint()) as endpoint:
        settings = config(endpoint, tmp_path, key_env="TEA_KEY")
        with pytest.raises(InputError, match="the environment has no TEA_KEY"):
            add(settings)
        monkeypatch.setenv("TEA_KEY", "secret-leaf\n")  # as a file that ends with a line end gives it
        add(settings)
    assert set(endpoint.keys) == {"Bearer secret-leaf"}
    assert key_from_environment(None) is None


@pytest.mark.parametrize("always", [None, 401, 500])
def test_key_is_never_logged_nor_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture, always: int | None
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("TEA_KEY", "secret-leaf")
    said = ""
    with served(Endpoint(always=always)) as endpoint:
        settings = config(endpoint, tmp_path, key_env="TEA_KEY")
        try:
            said = repr(add(settings))
        except InputError as refusal:
            said = "".join(traceback.format_exception(refusal))
        said += repr(open_source(settings))
    written = "".join(path.read_text(encoding="utf-8") for path in tmp_path.rglob("*") if path.is_file())
    assert said
    assert endpoint.keys[0] == "Bearer secret-leaf"
    assert "secret-leaf" not in said + caplog.text + written


def test_requests_of_all_threads_keep_the_rate(tmp_path: Path) -> None:
    many = pl.DataFrame({"item": range(24), "domain": 0, "title": [f"{n}" for n in range(24)], "attributes": "x"})
    with served(Endpoint(lists={f"{n}": '["a"]' for n in range(24)})) as endpoint:
        settings = config(endpoint, tmp_path, requests_per_minute=3000, concurrency=8)  # one in 20 ms
        begin = time.monotonic()
        add_llm_attributes(many, NAMES, settings, max_bad_share=0.0, numbered=False)
    assert len(endpoint.times) == 24
    assert max(endpoint.times) - begin >= 23 * 0.02


def test_answer_with_half_a_character_can_be_kept(tmp_path: Path) -> None:
    with served(Endpoint(lists={**LISTS, "Cup": '["Cup \\ud83d"]', "Odd thing": "Sorry \ud83d."})) as endpoint:
        attributes, facts = add(config(endpoint, tmp_path))
    assert (attributes[2], facts["bad"]) == ("cup", 1)


@pytest.mark.skipif(not REAL.is_file(), reason=f"the real answers are not at {REAL}")
def test_real_answers_come_through_a_busy_endpoint_as_they_are(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in gzip.decompress(REAL.read_bytes()).splitlines()]
    chosen = [row for row in rows if "raw" in row or not any(row["attributes"]) or row["item"] % 200 == 0]
    real = {str(row["item"]): row["raw"] if "raw" in row else json.dumps(row["attributes"]) for row in chosen}
    items = pl.DataFrame({"item": range(len(real)), "domain": 0, "title": list(real), "attributes": "catalogue"})
    troubles: list[int | bytes] = [429, 503, b"not json"] * 20
    with served(Endpoint(lists=real, troubles=troubles, headers={"Retry-After": "0"})) as endpoint:
        settings = config(endpoint, tmp_path, retries=60)
        source = open_source(settings)
        assert isinstance(source, EndpointSource)
        impatient = replace(source, client=replace(source.client, sleep=lambda seconds: None))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("pairs.attributes.replace.open_endpoint", lambda config: impatient)
            asked, facts = add_llm_attributes(items, NAMES, settings, max_bad_share=0.0, numbered=False)
    assert len(endpoint.asked) == len(real) + 60
    assert (facts["bad"], facts["empty"], facts["missing"]) == (5, 4, 0)
    path = tmp_path / "published.jsonl"
    numbered = [{**row, "item": place} for place, row in enumerate(chosen)]
    path.write_text("".join(json.dumps(row) + "\n" for row in numbered), encoding="utf-8")
    published = LlmAttributesConfig(source="answers", answers=str(path))
    read, _ = add_llm_attributes(items, NAMES, published, max_bad_share=0.0, numbered=True)
    assert asked["attributes"].to_list() == read["attributes"].to_list()
