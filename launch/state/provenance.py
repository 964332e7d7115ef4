"""Where a result comes from: commit, versions, machine. Written into every manifest; decides nothing."""

import platform
import socket
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from launch.distributed import World

PACKAGES = (
    "kinrec", "torch", "transformers", "accelerate", "deepspeed", "peft", "torch-geometric", "faiss-cpu", "faiss-gpu",
    "datasets", "polars", "pyarrow", "numpy", "scipy", "scikit-learn",
)  # fmt: skip
ROOT = Path(__file__).parents[2]
GIT_SECONDS = 10


def provenance(world: "World | None" = None) -> dict[str, Any]:  # Any: plain JSON values
    """Commit, versions of packages, host, processor, device and number of ranks of this start."""
    return {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "versions": {"python": platform.python_version(), **versions()},
        "host": socket.gethostname(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "device": "cpu" if world is None else device_name(world),
        "world_size": 1 if world is None else world.size,
    }


def versions() -> dict[str, str]:
    """Installed packages that results may depend on."""
    installed = {}
    for name in PACKAGES:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            continue
    return installed


def commit() -> str | None:
    """The commit of a source checkout, with `+` where files differ from it; None for an installed wheel."""
    if not (ROOT / ".git").exists():
        return None
    head = _git("rev-parse", "HEAD")
    return None if head is None else head + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")


def device_name(world: "World") -> str:
    """The processor or GPU that this rank computes on."""
    if world.device.type == "cpu":
        return "cpu"
    torch = sys.modules["torch"]  # loaded already: it made the device
    return f"{world.device.type}: {torch.cuda.get_device_name(world.device)}"


def _git(*words: str) -> str | None:
    try:
        ended = subprocess.run(
            ["git", "-C", str(ROOT), *words], capture_output=True, text=True, timeout=GIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout.strip() if ended.returncode == 0 else None
