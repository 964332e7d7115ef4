"""The client of an endpoint: pauses, retries, the rate, refusals, and a key that goes nowhere else."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from launch.errors import InputError
from pairs.attributes.endpoint import ChatClient, RateLimit, key_from_environment
from pairs.attributes.source import NoAnswer
from pairs.attributes_config import LlmAttributesConfig
from tests.unit.pairs.attributes.test_endpoint import LISTS, Endpoint, served


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


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


@pytest.mark.parametrize(("asked", "pause"), [("0", 0.0), ("1000", 60.0), ("soon", 1.0), ("-5", 1.0), ("1.5", 1.0)])
def test_pause_that_the_endpoint_asks_for_is_kept_within_measure(asked: str, pause: float) -> None:
    pauses: list[float] = []
    with served(Endpoint(troubles=[429], headers={"Retry-After": asked})) as endpoint:
        client(endpoint, pauses).ask('"Cup"')
    assert pauses == [pause]


def test_pauses_do_not_grow_for_ever() -> None:
    pauses: list[float] = []
    with served(Endpoint(always=503)) as endpoint, pytest.raises(NoAnswer):
        client(endpoint, pauses, retries=8).ask("x")
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


def test_request_that_was_wrong_is_not_sent_again() -> None:
    with served(Endpoint(always=400)) as endpoint, pytest.raises(NoAnswer, match="status 400"):
        client(endpoint, []).ask("x")
    assert len(endpoint.asked) == 1


def test_absent_endpoint_is_no_answer() -> None:
    with pytest.raises(NoAnswer, match="refused"):
        client(Endpoint(url="http://127.0.0.1:9/v1"), [], retries=1).ask("x")


def test_silent_endpoint_is_no_answer() -> None:
    pauses: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes requests, says nothing
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        with pytest.raises(NoAnswer, match="timed out"):
            client(Endpoint(url=url), pauses, retries=1, timeout=0.1).ask("x")
    assert pauses == [1.0]


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"


@contextmanager
def dripping(first: bytes) -> Iterator[str]:
    """A server that sends `first` and then a byte every 50 ms, for ever."""
    ended = threading.Event()

    def drip(line: socket.socket) -> None:
        with line, contextlib.suppress(OSError):
            line.sendall(first)
            while not ended.wait(0.05):
                line.sendall(b"x")

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=drip, args=(server.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        ended.set()


@pytest.mark.parametrize("first", [HEAD, b"HTTP/1.1 200 OK\r\nX-Slow: ", b""], ids=["body", "header", "status"])
def test_answer_that_drips_for_ever_ends_at_the_time_out(first: bytes) -> None:
    begin = time.monotonic()
    with dripping(first) as url, pytest.raises(NoAnswer, match=r"timed out: no whole answer within 0\.5 s"):
        client(Endpoint(url=url), [], retries=0, timeout=0.5).ask("x")
    assert time.monotonic() - begin < 5


def test_dripping_tls_greeting_ends_at_the_time_out() -> None:
    begin = time.monotonic()
    with dripping(b"\x16\x03\x03\x40\x00") as url, pytest.raises(NoAnswer, match="timed out"):
        client(Endpoint(url=url.replace("http:", "https:")), [], retries=0, timeout=0.5).ask("x")
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"choices":' * 50_000])
def test_answer_nested_beyond_measure_is_no_answer(body: bytes) -> None:
    with served(Endpoint(troubles=[body])) as endpoint, pytest.raises(NoAnswer, match="RecursionError"):
        client(endpoint, [], retries=0).ask("x")


@pytest.mark.parametrize("host", ["api.example.org", "192.168.0.7", "localhost.example.org", "[2001:db8::1]"])
def test_key_does_not_cross_the_network_unencrypted(host: str) -> None:
    given: dict[str, Any] = {"source": "endpoint", "answers": "a.jsonl", "model": "m", "key_env": "TEA_KEY"}
    with pytest.raises(ValueError, match="would cross the network unencrypted; give an https address"):
        LlmAttributesConfig(endpoint=f"http://{host}/v1", **given)
    LlmAttributesConfig(endpoint=f"https://{host}/v1", **given)
    LlmAttributesConfig(endpoint=f"http://{host}/v1", **{**given, "key_env": None})


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:8000", "127.1.2.3", "[::1]:8000"])
def test_key_may_go_to_this_machine(host: str) -> None:
    LlmAttributesConfig(source="endpoint", endpoint=f"http://{host}/v1", answers="a", model="m", key_env="TEA_KEY")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirection_is_refused_for_the_key_would_go_along(status: int) -> None:
    with served(Endpoint()) as elsewhere:
        headers = {"Location": f"{elsewhere.url}/chat/completions"}
        with (
            served(Endpoint(always=status, headers=headers)) as endpoint,
            pytest.raises(InputError, match=f"status {status}; give the address to which it redirects"),
        ):
            client(endpoint, [], key="secret-leaf").ask("x")
    assert elsewhere.keys == []


@pytest.mark.parametrize("status", [401, 404])
def test_request_that_can_never_succeed_is_refused_at_once(status: int) -> None:
    with served(Endpoint(always=status)) as endpoint, pytest.raises(InputError, match=f"status {status}; check"):
        client(endpoint, []).ask("x")
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize("key", ["secret\nleaf", "secret\x01leaf", "secret\u2026leaf"])
def test_key_that_no_header_can_hold_is_refused_unseen(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("TEA_KEY", key)
    with pytest.raises(InputError, match=r"TEA_KEY, which .* holds characters that no key has") as refusal:
        key_from_environment("TEA_KEY")
    assert "leaf" not in str(refusal.value)


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
