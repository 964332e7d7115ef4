"""The plan as text: a table of stages, what fills the largest, the ways to run the fine-tune, warnings."""

from collections.abc import Iterable, Iterator, Sequence

from launch.plan.estimates import GIB, MIB, EngineOption, Estimate, Need, Setting, total

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0


def render(setting: Setting, estimates: Sequence[Estimate], theirs: Sequence[tuple[str, float, float]] | None) -> str:
    """All of it.

    Args:
        theirs: DeepSpeed's own estimates, (what, bytes a GPU, bytes of a node's memory).
    """
    return "\n".join([*_head(setting), "", *_table(estimates), *_details(setting, estimates), *_theirs(theirs),
                      *_warnings(estimates)]) + "\n"  # fmt: skip


def needed_disk(estimates: Iterable[Estimate]) -> float:
    """Bytes in the run folder at the most."""
    return sum(total(estimate.disk) for estimate in estimates)


def needed_host(setting: Setting, estimates: Iterable[Estimate]) -> float:
    """Bytes of a node's memory that the worst stage needs, its ranks' own memory included where they have no GPUs."""
    ranks = 0 if setting.machine.on_gpus else setting.machine.processes
    return max((total(estimate.host) + ranks * estimate.rank_memory for estimate in estimates), default=0.0)


def _head(setting: Setting) -> Iterator[str]:
    counts, machine = setting.counts, setting.machine
    where = "CPUs" if machine.gpu_memory is None else f"GPUs of {machine.gpu_memory / GIB:.0f} GiB"
    yield f"{setting.recipe.name}: {machine.nodes} node(s) x {machine.processes} rank(s) on {where}"
    yield (
        f"{counts.users:,} users, {counts.items:,} items, {counts.interactions:,} interactions, {counts.train:,} train "
        f"samples ({counts.source})"
    )


def _table(estimates: Sequence[Estimate]) -> Iterator[str]:
    rows = [["stage", "a rank", "a node's host memory beside", "disk", "time"]]
    for estimate in estimates:
        seconds = "not known" if estimate.seconds is None else duration(estimate.seconds)
        rows.append(
            [
                estimate.stage,
                size(estimate.rank_memory),
                size(total(estimate.host)),
                size(total(estimate.disk)),
                seconds,
            ]
        )
    rows.append(["all", "", "", size(needed_disk(estimates)), ""])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()


def _details(setting: Setting, estimates: Sequence[Estimate]) -> Iterator[str]:
    for estimate in estimates:
        yield ""
        yield estimate.stage
        yield from (f"  {note}" for note in estimate.notes)
        if estimate.memory:
            yield f"  a rank: {_parts(estimate.memory)}"
        if estimate.host:
            yield f"  a node's host memory: {_parts(estimate.host)}"
        if estimate.disk:
            yield f"  disk: {_parts(estimate.disk)}"
        if estimate.how:
            yield f"  time: {estimate.how}"
        if estimate.choices:
            yield from _choices(setting, estimate.choices)


def _choices(setting: Setting, choices: Sequence[EngineOption]) -> Iterator[str]:
    own = choices[0].name
    yield "  DeepSpeed files: GiB a rank, and of a node's memory beside"
    for choice in choices:
        fits = "" if setting.machine.gpu_memory is None else "fits" if choice.fits else "does not fit"
        mark = "the recipe's" if choice.name == own else ""
        words = ", ".join(filter(None, [fits, mark, choice.note]))
        yield f"    {choice.name:<40} {choice.memory / GIB:>8.1f} {choice.host / GIB:>8.1f}  {words}".rstrip()


def _theirs(theirs: Sequence[tuple[str, float, float]] | None) -> Iterator[str]:
    if theirs is None:
        return
    yield ""
    yield "DeepSpeed's own estimator (states alone, in bf16: no activations, no logits): GiB a rank, of a node's memory"
    for what, gpu, host in theirs:
        yield f"    {what:<40} {gpu / GIB:>8.1f} {host / GIB:>8.1f}"


def _warnings(estimates: Sequence[Estimate]) -> Iterator[str]:
    lines = [line for estimate in estimates for line in estimate.advice]
    if lines:
        yield ""
    yield from (f"warning: {line}" for line in lines)


def _parts(parts: Sequence[Need]) -> str:
    return ", ".join(f"{part.name} {size(part.size)}" for part in parts)


def size(count: float) -> str:
    """Bytes as a reader says them."""
    if count <= 0:
        return "-"
    if count < MIB:
        return "< 1 MiB"
    if count < GIB:
        return f"{count / MIB:.0f} MiB"
    return f"{count / GIB:.1f} GiB" if count < 1024 * GIB else f"{count / (1024 * GIB):.1f} TiB"


def duration(seconds: float) -> str:
    """Seconds as a reader says them."""
    if seconds < MINUTE:
        return "< 1 min"
    if seconds < HOUR:
        return f"{seconds / MINUTE:.0f} min"
    return f"{seconds / HOUR:.1f} h" if seconds < 2 * DAY else f"{seconds / DAY:.1f} days"
