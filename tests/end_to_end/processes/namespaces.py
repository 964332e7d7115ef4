"""Two hosts on one machine: network namespaces with a cable between them, which can be cut."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Host:
    """One end of the cable."""

    name: str
    interface: str
    address: str

    def command(self, words: Sequence[str]) -> list[str]:
        """`words` to run on this host."""
        return ["ip", "netns", "exec", self.name, *words]

    def cut(self) -> None:
        """Pull the cable."""
        _ip("-n", self.name, "link", "set", self.interface, "down")


@contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Two hosts that reach each other. Skips, or with CI=true fails, where namespaces are not permitted."""
    mark = f"kr{os.getpid() % 100_000}"
    hosts = tuple(Host(f"{mark}n{number}", f"{mark}v{number}", f"10.213.77.{number + 1}") for number in (0, 1))
    try:
        try:
            for host in hosts:
                _ip("netns", "add", host.name)
            first, second = hosts
            _ip("link", "add", first.interface, "type", "veth", "peer", "name", second.interface)
            for host in hosts:
                _ip("link", "set", host.interface, "netns", host.name)
                _ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", host.interface)
                _ip("-n", host.name, "link", "set", "lo", "up")
                _ip("-n", host.name, "link", "set", host.interface, "up")
        except (OSError, subprocess.CalledProcessError) as error:
            reason = f"network namespaces need root and iproute2: {error}"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)
        yield first, second
    finally:
        for host in hosts:
            subprocess.run(["ip", "netns", "delete", host.name], check=False, capture_output=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
