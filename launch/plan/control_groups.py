"""How much memory this process may have: the machine's, or what its control groups leave it."""

from collections.abc import Iterator
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")


def available_memory() -> int:
    """Bytes that a new process could get now: the machine's, or what is left to its control groups."""
    free = _told("MemAvailable")
    for most, used in _own_limits():
        try:
            free = min(free, int(most.read_text(encoding="ascii")) - int(used.read_text(encoding="ascii")))
        except (OSError, ValueError):  # "max", or a system without that group
            continue
    return max(free, 0)


def most_memory() -> int:
    """Bytes that the processes here could have, if nobody else had any: the machine's, or its control groups' limit."""
    most = _told("MemTotal") + _told("SwapTotal")
    for limit, _ in _own_limits():
        try:
            most = min(most, int(limit.read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return most


def _told(name: str) -> int:
    fields = dict(line.split(":") for line in MEMINFO.read_text(encoding="ascii").splitlines())
    return int(fields[name].split()[0]) * 1024


def _own_limits() -> Iterator[tuple[Path, Path]]:
    """(limit, use) of the control groups of memory that this process is in, of both versions, from the inside out."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, name = line.split(":", 2)
        if number == "0":
            root, most, used = CGROUP, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            root, most, used = CGROUP / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        group = root / name.lstrip("/")
        for folder in (group, *group.parents):
            yield folder / most, folder / used
            if folder == root:
                break
