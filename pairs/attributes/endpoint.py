"""Attributes from an OpenAI-compatible endpoint: several requests at the same time, politely.

A rate limit, retries with growing pauses, errors in one line.
"""

import http.client
import json
import logging
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from launch.errors import InputError
from pairs.attributes.source import NoAnswer, Prompt
from pairs.attributes.timed_requests import TimedHTTP, TimedHTTPS, TimedRequest, Watch
from pairs.attributes_config import LlmAttributesConfig

WORTH_RETRYING = {408, 409, 425, 429}
HOPELESS = {301, 302, 303, 307, 308, 401, 403, 404, 405}
"""Statuses that every other request would get too."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
LARGEST_ANSWER = 1 << 20
log = logging.getLogger(__name__)


class StayHere(urllib.request.HTTPRedirectHandler):
    """Follows no redirection: urllib would send the key along, to whatever host it is told."""

    def redirect_request(self, *_: object) -> None:
        """None: the status comes back as an error."""


@dataclass
class RateLimit:
    """Lets callers of any thread begin at most so many times a minute, evenly."""

    per_minute: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _next: float = 0.0

    def wait(self) -> None:
        """Return when it is this caller's turn."""
        with self._lock:
            begin = max(self.clock(), self._next)
            self._next = begin + 60.0 / self.per_minute
        pause = begin - self.clock()
        if pause > 0:
            self.sleep(pause)


@dataclass(frozen=True)
class ChatClient:
    """One model behind one endpoint; safe to call from several threads."""

    url: str
    """The API's root, such as https://host/v1."""
    model: str
    key: str | None = field(repr=False)
    limit: RateLimit
    retries: int = 5
    timeout: float = 60.0
    """Seconds for a whole answer, from the connection to its last byte."""
    sleep: Callable[[float], object] | None = None
    """None: pauses end early when `stopped` is set."""
    stopped: threading.Event = field(default_factory=threading.Event)
    """Nobody waits for answers any more."""
    opener: urllib.request.OpenerDirector = field(
        default_factory=lambda: urllib.request.build_opener(StayHere, TimedHTTP, TimedHTTPS)
    )
    said: threading.Event = field(default_factory=threading.Event)
    """The log has the first failure."""

    def ask(self, prompt: str, *, max_tokens: int = 200) -> str:
        """The answer's text; NoAnswer after the last retry, InputError where no request can succeed."""
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": 0,
            "max_tokens": max_tokens,
        }
        content = json.dumps(body).encode()
        why = ""
        for attempt in range(self.retries + 1):
            self.limit.wait()
            if self.stopped.is_set():
                break
            pause = min(FIRST_PAUSE * 2**attempt, LONGEST_PAUSE)
            try:
                return self._post(content)
            except urllib.error.HTTPError as error:
                why = f"status {error.code}"
                asked = error.headers.get("Retry-After", "")
                pause = min(float(asked), LONGEST_PAUSE) if asked.isdecimal() else pause
                error.close()
                if error.code in HOPELESS:
                    raise InputError(f"{self.url}: refused the request with {why}; {_advice(error.code)}") from error
                if error.code < 500 and error.code not in WORTH_RETRYING:
                    raise NoAnswer(why) from error
            except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError, RecursionError) as error:
                why = f"{type(error).__name__}: {error}"  # no connection, a timeout, an answer of another form
            if not self.said.is_set():
                self.said.set()
                log.warning(
                    "%s: a request failed with %s; it is sent again up to %d times", self.url, why, self.retries
                )
            if attempt < self.retries:
                (self.sleep or self.stopped.wait)(pause)
        raise NoAnswer(why)

    def _post(self, content: bytes) -> str:
        headers = {"Content-Type": "application/json"}
        if self.key is not None:
            headers["Authorization"] = f"Bearer {self.key}"
        request = TimedRequest(f"{self.url.rstrip('/')}/chat/completions", data=content, headers=headers)
        request.watch = Watch()
        try:
            with request.watch.running(self.timeout), self.opener.open(request, timeout=self.timeout) as response:
                answer = json.loads(response.read(LARGEST_ANSWER))
        except urllib.error.HTTPError:
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            if request.watch.expired:  # what was cut off looks like a broken connection or a broken answer
                raise TimeoutError(f"timed out: no whole answer within {self.timeout:g} s") from error
            raise
        text = answer["choices"][0]["message"]["content"]
        if not isinstance(text, str):
            raise ValueError("an answer without text")
        return text


def key_from_environment(name: str | None) -> str | None:
    """The secret in the variable `name`; None if the endpoint needs none."""
    if name is None:
        return None
    key = os.environ.get(name, "").strip()
    if not key:
        raise InputError(f"the environment has no {name}, which pair.llm_attributes.key_env names; export it")
    if not (key.isascii() and key.isprintable()):  # the error of a header that cannot be sent would repeat the key
        raise InputError(f"{name}, which pair.llm_attributes.key_env names, holds characters that no key has")
    return key


def _advice(status: int) -> str:
    if status in (401, 403):
        return "check the key in the variable that pair.llm_attributes.key_env names"
    if status < 400:
        return "give the address to which it redirects as pair.llm_attributes.endpoint"
    return "check pair.llm_attributes.endpoint and pair.llm_attributes.model"


BATCH = 32
"""Requests in hand for each thread."""


@dataclass(frozen=True)
class EndpointSource:
    """One model behind one endpoint."""

    client: ChatClient
    concurrency: int
    max_tokens: int

    @property
    def name(self) -> str:
        """The endpoint's address."""
        return self.client.url

    def answer(self, prompts: Sequence[Prompt]) -> Generator[tuple[str, str | NoAnswer], None, None]:
        """As `AttributeSource` has it; in the order of the prompts."""

        def ask(prompt: Prompt) -> tuple[str, str | NoAnswer]:
            try:
                return prompt.title_hash, self.client.ask(prompt.text, max_tokens=self.max_tokens)
            except NoAnswer as failure:
                return prompt.title_hash, failure

        size = BATCH * self.concurrency
        self.client.stopped.clear()
        with ThreadPoolExecutor(self.concurrency) as pool:
            try:
                for begin in range(0, len(prompts), size):
                    yield from pool.map(ask, prompts[begin : begin + size])
            finally:
                self.client.stopped.set()  # those in hand neither wait nor ask again


def open_endpoint(config: LlmAttributesConfig) -> EndpointSource:
    """The endpoint that the configuration names, with the key from the environment."""
    assert config.endpoint is not None
    assert config.model is not None
    client = ChatClient(
        url=config.endpoint,
        model=config.model,
        key=key_from_environment(config.key_env),
        limit=RateLimit(config.requests_per_minute),
        retries=config.retries,
        timeout=config.timeout,
    )
    return EndpointSource(client, config.concurrency, config.max_tokens)
