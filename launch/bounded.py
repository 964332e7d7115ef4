"""Run a small pure function of a stranger's making (a chat template) where it can neither hang nor eat the memory."""

import os
import resource
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

from launch.errors import first_line

LONGEST_TEXT = 1 << 20
SPARE_MEMORY = 1 << 30
TEMPLATE_SECONDS = 10.0
"""For a chat template; real ones take milliseconds."""
PAGE = resource.getpagesize()


class Unbounded(ValueError):  # noqa: N818  it says what the function is
    """The function did not come to an end within its time, or wrote more than anyone reads."""


def bounded_text(function: Callable[[], str], *, seconds: float) -> str:
    """What `function` returns, from a child of this process that is ended after `seconds`.

    ValueError with the first line of what it raised; Unbounded where it does not end. The child is a fork, so
    `function` must touch no device, no thread and no collective.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _run(function, writer, seconds)  # never returns
    os.close(writer)
    try:
        answer = _read(reader, until=time.monotonic() + seconds)
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)  # it may have ended by itself: it is still ours until it is waited for
        os.waitpid(child, 0)
    kind, text = answer[:1], answer[1:].decode(errors="replace")
    if kind == b"+":
        return text
    if kind == b"-":
        raise ValueError(text)
    raise Unbounded(f"does not come to an end within {seconds:.0f} seconds or {LONGEST_TEXT} characters")


def _run(function: Callable[[], str], writer: int, seconds: float) -> None:
    try:
        held = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * PAGE
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = held + SPARE_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
        try:
            text = function()
            answer = b"+" + text.encode(errors="replace") if len(text) <= LONGEST_TEXT else b""
        except Exception as error:
            answer = b"-" + first_line(error).encode(errors="replace")
        while answer:
            answer = answer[os.write(writer, answer) :]
    finally:
        os._exit(0)  # no clean-up of what the parent still uses


def _read(reader: int, *, until: float) -> bytes:
    """All that the child wrote; nothing where it was not done in time."""
    answer = b""
    while (left := until - time.monotonic()) > 0:
        if not select.select([reader], [], [], left)[0]:
            break
        part = os.read(reader, 1 << 16)
        if not part:
            return answer
        answer += part
    return b""
