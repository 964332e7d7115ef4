"""A real SLURM of one's own on this machine: a controller and two nodes, of any user, apart from any other.

munged, slurmctld and slurmd come from Debian's packages `slurm-wlm` and `munge`. Everything lies in one folder.
"""

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

PROGRAMS = ("setpriv", "slurmctld", "slurmd", "munged", "sbatch", "salloc", "srun", "scontrol", "sinfo")
NODES = 2
CPUS = 2
"""Of each node; both are this machine, whatever it has."""
ADDRESS = "127.0.0.1"
START_SECONDS = 60.0
CONFIG = """\
ClusterName=kinrec
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
ReturnToService=2
SlurmctldPort={port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdSpoolDir={folder}/spool-%n
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,requeue_setup_env_fail
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobRequeue=1
MinJobAge=600
KillWait=5
InactiveLimit=0
SlurmctldTimeout=30
SlurmdTimeout=60
"""


def missing_programs() -> list[str]:
    """The programs of SLURM and munge that this machine lacks."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return [name for name in PROGRAMS if shutil.which(name, path=path) is None]


def is_running() -> bool:
    """True where a SLURM answers that has enough nodes, all of them this machine: no test is for a site's cluster."""
    words = ["sinfo", "-h", "-N", "-o", "%o %t"]
    try:
        ended = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    nodes = [line.split() for line in ended.stdout.splitlines()]
    up = [address for address, state in nodes if state.rstrip("*~#!%$@^-") in {"idle", "alloc", "mix", "comp"}]
    return ended.returncode == 0 and len(up) >= NODES and set(up) == {ADDRESS}


class Daemons:
    """munged, slurmctld and one slurmd a node, started in `folder`; `config` is what SLURM_CONF has to name."""

    def __init__(self, folder: Path, *, with_gpus: bool = False) -> None:
        """With `with_gpus` each node has two things that SLURM takes for GPUs."""
        self.folder = folder
        self.with_gpus = with_gpus
        self.config = folder / "slurm.conf"
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start all and wait until every node is idle. Needs SLURM_CONF set to `config`."""
        self._write_config()
        munge = self.folder / "munge"
        munge.mkdir(mode=0o755)
        (munge / "key").write_bytes(os.urandom(1024))
        (munge / "key").chmod(0o400)
        files = [f"--{name}-file={munge}/{name}" for name in ("key", "pid", "log", "seed")]
        self._spawn("munged", "--foreground", "--force", f"--socket={munge}/socket", *files, "--num-threads=2")
        self._wait(lambda: (munge / "socket").exists(), "munged")
        (self.folder / "state").mkdir()
        self._spawn("slurmctld", "-D", "-c", "-f", str(self.config))
        for name in self.nodes():
            (self.folder / f"spool-{name}").mkdir()
            self._spawn("slurmd", "-D", "-N", name, "-f", str(self.config))
        self._wait(is_running, "SLURM")

    def stop(self) -> None:
        """End what `start` has started."""
        for process in reversed(self._running):
            process.terminate()
        for process in self._running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def nodes(self) -> list[str]:
        """The nodes' names; as on many a private network they resolve to nothing."""
        return [f"kinrec-node{number}" for number in range(1, NODES + 1)]

    def _write_config(self) -> None:
        host = socket.gethostname().partition(".")[0]
        ports = _free_ports(NODES + 1)
        lines = [CONFIG.format(host=host, user=getpass.getuser(), folder=self.folder, port=ports[0])]
        gpus = " Gres=gpu:2" if self.with_gpus else ""
        if self.with_gpus:
            lines.append("GresTypes=gpu\n")
            devices = f"NodeName={','.join(self.nodes())} Name=gpu File=/dev/null,/dev/zero\n"
            (self.folder / "gres.conf").write_text(devices, encoding="ascii")
        for name, port in zip(self.nodes(), ports[1:], strict=True):
            where = f"NodeName={name} NodeHostname={host} NodeAddr={ADDRESS} Port={port}"
            lines.append(
                f"{where} CPUs={CPUS} Boards=1 SocketsPerBoard=1 CoresPerSocket={CPUS} ThreadsPerCore=1{gpus}\n"
            )
        lines.append(f"PartitionName=main Nodes={','.join(self.nodes())} Default=YES OverSubscribe=YES State=UP\n")
        self.config.write_text("".join(lines), encoding="ascii")
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n", encoding="ascii")  # v2 wants systemd

    def _spawn(self, *words: str) -> None:
        with (self.folder / "output").open("ab") as output:
            path = os.environ["PATH"] + ":/usr/sbin:/sbin"
            self._running.append(
                subprocess.Popen(
                    ["setpriv", "--pdeathsig", "TERM", *words],  # util-linux: they end with killed tests, too
                    cwd=self.folder,
                    env={**os.environ, "PATH": path},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            )

    def _wait(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not done():
            ended = [process.args for process in self._running if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                said = (self.folder / "output").read_text(encoding="utf-8", errors="replace")[-3000:]
                raise RuntimeError(f"{what} did not start; ended: {ended}; {said}")
            time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    opened = [socket.socket() for _ in range(count)]
    try:
        for each in opened:
            each.bind((ADDRESS, 0))
        return [each.getsockname()[1] for each in opened]
    finally:
        for each in opened:
            each.close()
