"""HTTP requests that end when their time is over, however slowly an answer drips."""

import contextlib
import functools
import http.client
import os
import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Watch:
    """Shuts the connection of one request down when its time is over."""

    def __init__(self) -> None:
        self.expired = False
        self._lock = threading.Lock()
        self._line: socket.socket | None = None

    def hold(self, line: socket.socket) -> None:
        """Take a connection that was just made, before anything (a TLS greeting) is read from it."""
        with self._lock:
            self._drop()
            # A file descriptor of our own: the socket's may be handed on to TLS, or closed and given to another.
            self._line = socket.socket(fileno=os.dup(line.fileno()))
            if self.expired:
                self._shut()

    @contextmanager
    def running(self, seconds: float) -> Iterator[None]:
        """Watch the request that is made in here."""
        timer = threading.Timer(seconds, self._expire)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            with self._lock:
                self._drop()

    def _expire(self) -> None:
        with self._lock:
            self.expired = True
            self._shut()

    def _shut(self) -> None:
        if self._line is not None:
            with contextlib.suppress(OSError):  # the other side was faster
                self._line.shutdown(socket.SHUT_RDWR)

    def _drop(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


class TimedRequest(urllib.request.Request):
    """A request with its watch."""

    watch: Watch


class _Watched(http.client.HTTPConnection):
    watch: Watch

    def connect(self) -> None:
        super().connect()
        self.watch.hold(self.sock)


class _WatchedTLS(http.client.HTTPSConnection, _Watched):
    """Its connect calls that of _Watched first, then greets."""


def _open(kind: type[_Watched], watch: Watch, host: str, **how: Any) -> _Watched:  # Any: urllib's options
    connection = kind(host, **how)
    connection.watch = watch
    return connection


class TimedHTTP(urllib.request.HTTPHandler):
    """urllib's handler, on watched connections."""

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """As the base class has it."""
        assert isinstance(req, TimedRequest)
        return self.do_open(functools.partial(_open, _Watched, req.watch), req)


class TimedHTTPS(urllib.request.HTTPSHandler):
    """urllib's handler, on watched connections."""

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """As the base class has it."""
        assert isinstance(req, TimedRequest)
        return self.do_open(functools.partial(_open, _WatchedTLS, req.watch), req)
