"""The watchdog: a thread in every rank that writes its beats, and ends the job when nothing moves any more.

Time is counted in the thread's own ticks: a job that is suspended and woken is not late. Whether another rank lives is
seen by its beat being renewed, so clocks of nodes are never compared.

A rank is late when it has stood still for its limit. The job has reached a time-out when a rank is late and no other
that lives still moves, or works alone; or when a rank's beat has not been renewed for its limit. Then all that can be
reached write their stacks, the lowest of them writes the report, and all end with status 1.
"""

import atexit
import os
import signal
import threading
import time
from pathlib import Path

from launch import ranks
from launch.watch.beats import ENDED, FAILED, HERE, Pace
from launch.watch.marks import (
    BEAT,
    HANG,
    TIMEOUT,
    Record,
    host_name,
    make_folder,
    rank_file,
    write_record,
)
from launch.watch.others import Others, window
from launch.watch.task import Task
from launch.watch.traces import (
    forget_traces,
    in_time,
    keep_traces,
    reaches_first_node,
    record_collectives,
    write_traces,
)
from launch.watch.verdict import hang_text, report

MOST_SECONDS = 8.0
BEATS_PER_SECOND = 64
"""Of all ranks together: a shared file system has other work."""
SAY_SECONDS = 2.0
PATIENCE_SECONDS = 5.0
"""How long the ranks wait for each other's stacks, and then for the report."""


class Watchdog(threading.Thread):
    """Writes this rank's beats; with time-outs also looks after the others."""

    def __init__(self, task: Task) -> None:
        super().__init__(name="kinrec-watchdog", daemon=True)
        self.task = task
        self.folder = Path(task.folder)
        self.rank, self.size = ranks.rank(), ranks.world_size()
        self.every = min(MOST_SECONDS, max(1.0, self.size / BEATS_PER_SECOND))
        self.others = Others(self.folder, self.rank)
        self.idle, self.moves, self.moved = 0.0, -1, time.time()
        self.limit = task.start
        """Seconds that this rank may stand still, as of the last tick."""
        self.pace = Pace()
        self.timed_out: Record = {}
        self.writes = True
        """Whether the last beat could be written: else this rank is the one that sees nothing."""
        self.done = threading.Event()
        self.writing = threading.Lock()

    def run(self) -> None:
        """Beat until the process ends."""
        last = time.monotonic()
        while not self.done.wait(self.every):
            now = time.monotonic()
            seconds, last = min(now - last, 3 * self.every), now
            self.tick(seconds)

    def tick(self, seconds: float) -> None:
        """One beat, `seconds` after the last."""
        self.limit = self.present_limit()  # before it looks whether something moved: see `long`
        if HERE.moves != self.moves:
            self.idle, self.moves, self.moved = 0.0, HERE.moves, time.time()
        else:
            self.idle += seconds
        self.pace.tick(HERE, seconds)
        self.write()
        if not self.task.limits:
            return
        keep_traces(self.folder, self.rank, seconds=self.limit + 2 * window(self.every))
        if self.size > 1 and (self.rank == 0 or self.idle > self.limit / 2):
            self.others.look(seconds)
        if (self.folder / TIMEOUT).exists() or self.late():
            self.bark()

    def present_limit(self) -> float:
        """Seconds that this rank may stand still now."""
        if not HERE.begun:
            return self.task.start
        return max(self.task.start, self.task.step) if HERE.long and not HERE.meets else self.task.step

    def late(self) -> bool:
        """Whether the job has reached a time-out, as far as this rank sees."""
        late = self.idle > self.limit
        if self.size == 1:
            return late
        if not self.writes or self.others.watched < window(self.every):  # who lives is not known yet
            return False
        return (late and (HERE.alone or not self.others.someone_moves())) or (self.rank == 0 and self.others.lost())

    def write(self, *, last: bool = False) -> None:
        """Renew the beat; after `end` only its own."""
        record = {
            "rank": self.rank,
            "ranks": self.size,
            "host": host_name(),
            "pid": os.getpid(),
            "stage": self.task.stage,
            **{key: getattr(HERE, key) for key in ("phase", "step", "total", "alone")},
            "moved": round(self.moved, 3),
            "alive": round(time.time(), 3),
            "idle": round(self.idle, 3),
            "limit": self.limit,
            "every": self.every,
            "rate": self.pace.rate,
            "timed_out": self.timed_out,
        }
        try:
            with self.writing:
                if last or not self.done.is_set():
                    write_record(rank_file(self.folder, self.rank, BEAT), record)
            self.writes = True
        except OSError:  # the disk is full, or the folder has gone: the stage itself will say so
            self.writes = False

    def bark(self) -> None:
        """Write this rank's stack, report if this is the lowest rank that can be reached, end the process."""
        try:
            self._leave_traces()
            self._wait_for_report()
            self._kill_stopped()
        finally:
            os._exit(1)

    def _leave_traces(self) -> None:
        marker = self.folder / TIMEOUT
        if not marker.exists():
            write_record(marker, {"rank": self.rank, "host": host_name(), "time": time.time()})
        self.timed_out = {
            **write_traces(self.folder, self.rank, heading=f"{self.task.stage}: {HERE.phase}, step {HERE.step}"),
            "reaches": reaches_first_node(),
        }
        self.write()

    def _wait_for_report(self) -> None:
        deadline = time.monotonic() + window(self.every)
        until = deadline + PATIENCE_SECONDS
        last = time.monotonic()
        while not (self.folder / HANG).exists():
            time.sleep(self.every / 4)
            now = time.monotonic()
            self.others.look(now - last)
            last = now
            self.write()
            here = [rank for rank in self.others.beats if rank == self.rank or self.others.lives(rank)]
            ready = [rank for rank in here if self.others.beats[rank].timed_out]
            if self.rank == min(ready, default=self.rank) and now > deadline and (ready == here or now > until):
                self._report()
                return
            if now > until + PATIENCE_SECONDS:
                return

    def _report(self) -> None:
        beats = self.others.beats
        living = {rank for rank in beats if rank == self.rank or self.others.lives(rank)}
        lines = report(beats, living=living, size=self.size)
        lines.append(f"stacks of the ranks that could be reached: {self.folder}/rank-N.stack")
        record = {"time": time.time(), "rank": self.rank, "stage": self.task.stage, "lines": lines}
        write_record(self.folder / HANG, record)
        text = hang_text(self.task.stage, lines).encode(errors="replace")
        in_time(lambda: os.write(2, text), seconds=SAY_SECONDS)  # whoever reads it may be the one that hangs

    def _kill_stopped(self) -> None:
        """SIGTERM waits until a stopped process is woken, and the launcher with it: end those of our launcher here."""
        for rank, beat in self.others.beats.items():
            if rank != self.rank and not self.others.lives(rank) and _parent(beat.pid) == os.getppid():
                os.kill(beat.pid, signal.SIGKILL)


_watchdog: Watchdog | None = None


def start(task: Task) -> None:
    """Watch this process from now on; once a process, the first call counts."""
    global _watchdog
    if _watchdog is not None:
        return
    folder = Path(task.folder)
    make_folder(folder)
    for kind in (TIMEOUT, HANG):  # of an earlier start: whoever reaches a time-out now comes after this
        (folder / kind).unlink(missing_ok=True)
    record_collectives(folder)
    _watchdog = Watchdog(task)
    _watchdog.write()
    _watchdog.start()
    atexit.register(end)


def current_task() -> Task | None:
    """What is watched in this process."""
    return None if _watchdog is None else _watchdog.task


def end(*, failed: bool = False) -> None:
    """The stage is over in this process; nobody need wait for it."""
    if _watchdog is not None and not _watchdog.done.is_set():
        HERE.phase = FAILED if failed else ENDED
        _watchdog.done.set()
        _watchdog.write(last=True)
        forget_traces()


def _parent(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return int(stat.rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None
