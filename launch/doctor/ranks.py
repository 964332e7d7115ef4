"""The ranks of a stage, started as a stage starts them: do they meet, talk, share the run folder and the time of day.

The probe itself is launch.doctor.rank_probe; here its answers become lines.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from launch.cluster.allocation import Allocation, count_nodes, read_allocation
from launch.cluster.step import cancel_step, step_environment
from launch.config import LaunchConfig
from launch.doctor.diagnoses import Diagnosis, failed, passed, warned
from launch.processes.children import Outcome, child_environment, run_child
from launch.processes.commands import count_gpus, machine_environment, resources, stage_command
from launch.processes.lock import LOCK, hold_lock
from launch.processes.lock import NAME as LOCK_NAME
from launch.processes.node import HOLDER
from launch.processes.orphans import own_identity
from launch.processes.starter import step_command, step_name
from launch.processes.temporary import TEMPORARY
from launch.stages import PROBE

MIB, GIB = 2**20, 2**30
SLOW_LINK = {"cpu": 20 * MIB, "cuda": GIB}
"""Bytes a second below which a link is worth a word."""
SLOW_DISK = 50 * MIB
SKEW_WARN, SKEW_FAIL = 1.0, 60.0
"""Seconds between clocks. Times of files and of logs are compared by whoever looks for what was last."""
BUSY_GPU = 0.1
MOST_NAMED = 5
"""Ranks in a line; of thousands nobody reads more."""
Said = dict[str, Any]
"""One answer of one rank; Any: plain JSON values."""


def check_ranks(launch: LaunchConfig, recipe: Path, run_dir: Path, *, seconds: float) -> Iterator[Diagnosis]:
    """Start them, wait, and say what they said. In a SLURM job they start on its nodes."""
    allocation = read_allocation()
    nodes = count_nodes(launch.nodes, allocation)
    if allocation is None:
        words = stage_command(PROBE, recipe=recipe, run_dir=run_dir, launch=launch)
        outcome = run_child(
            words, seconds=seconds, environment={**child_environment(), **machine_environment(PROBE, launch)}
        )
    else:
        outcome = _run_step(launch, recipe, run_dir, allocation, seconds=seconds)
    yield from read_ranks(outcome, size=nodes * resources(launch).processes, node_gpus=count_gpus())


def _run_step(launch: LaunchConfig, recipe: Path, run_dir: Path, allocation: Allocation, *, seconds: float) -> Outcome:
    """The processes of the nodes share a lock with who started them: here one of the probe's own, in the run folder."""
    folder = run_dir / TEMPORARY / f"doctor-{os.urandom(6).hex()}"
    try:
        with hold_lock(folder):
            words = step_command(PROBE, recipe=recipe, run_dir=run_dir, launch=launch, allocation=allocation)
            lock = {LOCK: str(folder.resolve() / LOCK_NAME), HOLDER: str(own_identity())}
            try:
                return run_child(words, seconds=seconds, environment=step_environment({**child_environment(), **lock}))
            finally:
                cancel_step(allocation.job, step_name(PROBE))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # a start that is at work has files of its own there
            folder.parent.rmdir()


def read_ranks(outcome: Outcome, *, size: int, node_gpus: int) -> Iterator[Diagnosis]:
    """The lines for what the ranks answered."""
    parts: dict[str, dict[int, Said]] = {}
    for said in outcome.answers:
        parts.setdefault(said["part"], {})[said["rank"]] = said
    here, met = parts.get("here", {}), parts.get("met", {})
    size = max([said["size"] for said in here.values()], default=size)
    if len(met) < size:
        yield _not_met(outcome, here, met, size)
        return
    hosts = Counter(said["host"] for said in here.values())
    places = ", ".join(f"{count} on {host}" for host, count in list(hosts.items())[:MOST_NAMED])
    yield passed("ranks", f"{size} met: {places}{' ...' if len(hosts) > MOST_NAMED else ''}")
    yield from _gpus(met, here, node_gpus)
    if size > 1:
        yield from _talk(parts.get("talk", {}), size, met[0]["device"])
        yield from _clocks(parts.get("clock", {}), here)
    yield from _folder(parts.get("folder", {}), size)
    if outcome.status != 0 and all(len(parts.get(name, {})) == size for name in ("talk", "folder")):
        yield warned("ranks", f"all answered, then their launcher failed: {outcome.why}", "read what it says")
    elif outcome.status != 0:
        got = len(parts.get("folder", {}))
        yield failed("ranks", f"{got} of {size} came to the end: {outcome.why}", _cure_for_talk())


def _not_met(outcome: Outcome, here: dict[int, Said], met: dict[int, Said], size: int) -> Diagnosis:
    late = [rank for rank in range(size) if rank not in met]
    started = [rank for rank in late if rank in here]
    names = ", ".join(f"{rank} on {here[rank]['host']}" if rank in here else f"{rank}" for rank in late[:MOST_NAMED])
    text = f"{len(late)} of {size} ranks have not met the others (rank {names}): {outcome.why}"
    if outcome.status is not None and len(started) < len(late):
        return failed("ranks", text, "the stage's ranks would not start; mend what it says")
    return failed("ranks", text, _cure_for_talk())


def _cure_for_talk() -> str:
    return (
        "set launch.interface to the network that joins the nodes and launch.master to an address in it, open it "
        "for connections between nodes, or give --timeout=SECONDS where imports are slow"
    )


def _gpus(met: dict[int, Said], here: dict[int, Said], node_gpus: int) -> Iterator[Diagnosis]:
    on_gpus = [rank for rank, said in met.items() if said["device"] == "cuda"]
    if not on_gpus:
        if node_gpus:
            yield failed(
                "gpus", f"{node_gpus} on this machine, but every rank computes on the CPUs",
                "install a torch with CUDA that the driver is new enough for (see the line about torch)",
            )  # fmt: skip
        return
    if len(on_gpus) < len(met):
        others = _named([rank for rank in met if rank not in on_gpus], here)
        yield failed("gpus", f"{others} see none while others do", "ask for GPUs on every node")
        return
    shared = Counter((here[rank]["host"], met[rank]["index"]) for rank in met)
    (host, index), most = shared.most_common(1)[0]
    gpus = {here[rank]["host"]: said["gpus"] for rank, said in met.items()}
    ranks_of = Counter(said["host"] for said in here.values())
    if most > 1:
        yield failed(
            "gpus", f"{most} ranks share GPU {index} of {host}, which has {gpus[host]}",
            f"set launch.processes={gpus[host]} or ask for more GPUs a node",
        )  # fmt: skip
    elif idle := [name for name in gpus if gpus[name] > ranks_of[name]]:
        text = f"{idle[0]} has {gpus[idle[0]]} for {ranks_of[idle[0]]} rank(s)"
        yield warned("gpus", text, f"set launch.processes={gpus[idle[0]]}, or ask for fewer")
    else:
        yield passed("gpus", f"{len(met)}, of {min(said['total'] for said in met.values()) / GIB:.0f} GiB at least")
    busy = [rank for rank, said in met.items() if said["total"] - said["free"] > BUSY_GPU * said["total"]]
    if busy:
        used = max(met[rank]["total"] - met[rank]["free"] for rank in busy) / GIB
        yield warned(
            "gpu memory", f"up to {used:.0f} GiB are in use already at {_named(busy, here)}",
            "end the processes that nvidia-smi lists there",
        )  # fmt: skip


def _talk(talk: dict[int, Said], size: int, device: str) -> Iterator[Diagnosis]:
    if len(talk) < size:
        return  # said at the end
    wrong = sorted(rank for rank, said in talk.items() if not said["right"])
    if wrong:
        yield failed(
            "all-reduce", f"wrong sums at rank {_list(wrong)}",
            "the links between these GPUs lie (PCIe ACS or IOMMU, a broken NIC): have the nodes mended, exclude them",
        )  # fmt: skip
        return
    slowest = {name: min(said["rates"][name] for said in talk.values()) for name in next(iter(talk.values()))["rates"]}
    rates = ", ".join(f"{rate / MIB:,.0f} MiB/s at {_size(int(name))}" for name, rate in slowest.items())
    if max(slowest.values()) < SLOW_LINK[device]:
        yield warned(
            "all-reduce",
            f"slow: {rates} a rank",
            "set launch.interface to the fast network (ib0), and look at NCCL_DEBUG=INFO",
        )
    else:
        yield passed("all-reduce", f"{rates} a rank, over {size} ranks")


def _clocks(clock: dict[int, Said], here: dict[int, Said]) -> Iterator[Diagnosis]:
    if not clock:
        return
    ahead = {rank: said["ahead"] for rank, said in clock.items()}
    low, high = min(ahead, key=lambda rank: ahead[rank]), max(ahead, key=lambda rank: ahead[rank])
    skew = ahead[high] - ahead[low]
    text = f"ranks differ by {skew:.3f} s" + (f" ({_named([low, high], here)})" if skew > SKEW_WARN else "")
    yield _skew("clocks", text, skew)


def _skew(check: str, text: str, skew: float) -> Diagnosis:
    cure = "synchronise the clocks (chrony, ntpd)"
    if skew > SKEW_FAIL:
        return failed(check, text, cure)
    return warned(check, text, cure) if skew > SKEW_WARN else passed(check, text)


def _folder(folder: dict[int, Said], size: int) -> Iterator[Diagnosis]:
    if len(folder) < size:
        return  # said at the end
    cure = "choose a --run_dir on a file system that all nodes mount under this path"
    if bad := [rank for rank, said in folder.items() if said["problem"]]:
        yield failed("run folder", f"{_named(bad, folder)}: {folder[bad[0]]['problem']}", cure)
        return
    if blind := [rank for rank, said in folder.items() if said["unseen"]]:
        first = blind[0]
        text = (
            f"not shared: {_named([first], folder)} does not see what {_named(folder[first]['unseen'], folder)} wrote"
        )
        yield failed("run folder", text, cure)
        return
    rates = [said["rate"] for said in folder.values()]
    measured = [rate for rate in rates if rate is not None]
    nodes = len({said["host"] for said in folder.values()})
    if len(measured) < nodes:
        yield failed("run folder", "no room to write 64 MiB", "free some space or choose another --run_dir")
    else:
        text = f"seen by all ranks; {min(measured) / MIB:,.0f} MiB/s a node"
        slow = min(measured) < SLOW_DISK
        if slow:
            yield warned("run folder", text, "checkpoints take long: choose a faster file system, save less often")
        else:
            yield passed("run folder", text)
    if locked := [rank for rank, said in folder.items() if said["locks"]]:
        yield failed(
            "locks", f"{_named(locked[:1], folder)}: {folder[locked[0]]['locks']}",
            "mount it with locks that all nodes see (Lustre: -o flock; NFS: version 4), or choose another --run_dir",
        )  # fmt: skip
    else:
        yield passed("locks", "one rank's lock keeps all others out" if size > 1 else "the run folder has them")
    worst = max((said["ahead"] for said in folder.values()), key=abs)
    yield _skew("file times", f"the file system's clock differs by {abs(worst):.3f} s", abs(worst))


def _named(ranks: list[int], said: dict[int, Said]) -> str:
    names = [f"rank {rank} on {said[rank]['host']}" for rank in ranks[:MOST_NAMED]]
    return ", ".join(names) + (f" and {len(ranks) - MOST_NAMED} more" if len(ranks) > MOST_NAMED else "")


def _list(ranks: list[int]) -> str:
    return ", ".join(map(str, ranks[:MOST_NAMED])) + (" ..." if len(ranks) > MOST_NAMED else "")


def _size(size: int) -> str:
    return f"{size // MIB} MiB" if size >= MIB else f"{size // 1024} KiB"
