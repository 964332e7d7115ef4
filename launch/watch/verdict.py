"""Who held the others up: said from the beats of all ranks after a time-out."""

import time
from collections.abc import Iterable, Mapping, Set

from launch.terminal import shown
from launch.watch.beats import FAILED, IMPORTS
from launch.watch.marks import Beat

MOST_NAMED = 16
"""Ranks that get a line of their own."""


def hang_text(stage: str, lines: Iterable[str]) -> str:
    """A report as it is shown."""
    return "".join(f"kinrec: hang in {shown(stage)}: {shown(line)}\n" for line in lines)


def report(beats: Mapping[int, Beat], *, living: Set[int], size: int) -> list[str]:
    """Lines that say it, those who held up last: nobody reads further up than that.

    Args:
        living: ranks whose beats are being renewed.
    """
    missing = [rank for rank in range(size) if rank not in beats]
    blamed = {rank: _lost(beats[rank]) for rank in beats if rank not in living}
    if not blamed and not missing:
        blamed = _among_living({rank: beats[rank] for rank in living})
    lines = [_waiting(beats[rank]) for rank in sorted(living) if rank not in blamed][:MOST_NAMED]
    if len(living) - len(blamed) > MOST_NAMED:
        lines.append(f"and {len(living) - MOST_NAMED} ranks more that wait")
    if missing:
        names = ", ".join(map(str, missing[:MOST_NAMED])) + (", ..." if len(missing) > MOST_NAMED else "")
        lines.append(f"rank {names} of {size} never started")
    if not blamed and not missing:
        hosts = ", ".join(sorted({beats[rank].host for rank in living}))
        lines.append(f"all {size} ranks stand still in the same step (on {hosts}); their stacks say where")
    lines += [
        f"rank {rank} on {beats[rank].host} {why} ({beats[rank].position})"
        for rank, why in sorted(blamed.items())[:MOST_NAMED]
    ]
    return lines


def _lost(beat: Beat) -> str:
    if beat.phase == FAILED:
        return f"has failed; see rank-{beat.rank}.log"
    since = time.strftime("%H:%M:%S", time.localtime(beat.alive))
    return f"gives no sign of life since {since}: it is stopped, was killed, or its node is lost"


def _among_living(beats: Mapping[int, Beat]) -> dict[int, str]:
    """Rank -> why, of those that live and yet held up the others; empty where nothing tells them apart."""
    late = {rank: beat for rank, beat in beats.items() if beat.alone and beat.idle > beat.limit}
    if late:
        return {rank: _hangs(beat) for rank, beat in late.items()}
    cut = [rank for rank, beat in beats.items() if beat.timed_out.get("reaches") is False]
    if cut:
        return dict.fromkeys(cut, "cannot reach the first node: the network between them is cut")
    importing = [rank for rank, beat in beats.items() if beat.phase == IMPORTS]
    if importing:
        return {rank: _hangs(beats[rank]) for rank in importing}
    behind = _behind(beats)
    if behind:
        return {rank: _hangs(beats[rank]) for rank in behind}
    if any(beat.timed_out.get("waits") for beat in beats.values()):
        return {rank: _hangs(beat) for rank, beat in beats.items() if beat.timed_out and not beat.timed_out["waits"]}
    return {0: _hangs(beats[0])} if len(beats) == 1 and 0 in beats else {}


def _behind(beats: Mapping[int, Beat]) -> list[int]:
    """Ranks that have not begun a collective which others wait in."""
    counts = {rank: beat.timed_out.get("collectives") for rank, beat in beats.items()}
    known = {rank: count for rank, count in counts.items() if isinstance(count, dict)}
    if len(known) < len(beats):
        return []
    groups = {group for count in known.values() for group in count}
    behind = set()
    for group in groups:
        begun = {rank: count[group] for rank, count in known.items() if isinstance(count.get(group), int)}
        behind |= {rank for rank, number in begun.items() if number < max(begun.values())}
    return sorted(behind)


def _hangs(beat: Beat) -> str:
    where = beat.timed_out.get("where")
    return f"stands still for {beat.idle:.0f} s in its own code" + (f", at {where}" if where else "")


def _waiting(beat: Beat) -> str:
    where = beat.timed_out.get("where")
    at = f", at {where}" if where else ""
    return f"rank {beat.rank} on {beat.host} waits for {beat.idle:.0f} s{at} ({beat.position})"
