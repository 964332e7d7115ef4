"""Count companions into a folder: users a chunk at a time, pairs by an external sort, in bounded memory.

One pass over the users writes what each of them owns and leaves sorted runs of the pairs they have; one pass over the
merged runs, in order of the first item, counts the users of every pair and writes what is kept of it. Files:

    users.npy [U] ascending ids        num_users.npy [I + 1] users of each item
    own_items.npy [U + 1], own_item    each user's items, ascending
    own_pairs.npy [U + 1], own_{source,target,gap}    each user's pairs, by places among those items; their class
    {X,Y}_offsets.npy [I + 2], _candidate, _counts, _likeness    an item's companions in one domain, ascending
    {X,Y}_least.npy [I + 1]            pairs that fewer users share are left out
    {X,Y}_large_{cell,count}.npy       counts of 255 and more, whose cell in _counts says 255
"""

import shutil
from contextlib import ExitStack
from pathlib import Path

from graph.companions.counted_runs import CountedRuns, Rows
from graph.companions.domain_table import DomainTable, DomainWriter
from graph.companions.own_items import write_users
from graph.companions.rules import CompanionRules
from graph.words import Floats
from launch.processes.threads import num_threads, side_by_side
from launch.watch.beats import beat
from pairs.tables import Samples

BYTES_PER_KEY = 112
"""Of memory, while a chunk's keys are made, sorted and taken apart."""
LEAST_KEYS = 1 << 22
"""Of a thread's chunk, or memory is too little for another thread: small runs are many, and many are slow to merge."""


def count_companions(
    folder: Path, known: Samples, text_IK: Floats, rules: CompanionRules, *, memory_gib: float
) -> None:
    """Fill an empty folder, by as many threads as there are and as `memory_gib` has room for: the files are the same.
    Above `memory_gib` come a few numbers for every item and user, one user's own pairs where those are more, and one
    item's; `text_IK` are the items' text vectors."""
    in_memory = max(1, int(memory_gib * 2**30 / BYTES_PER_KEY))
    threads = max(1, min(num_threads(), in_memory // LEAST_KEYS))
    at_once = max(1, in_memory // threads)
    runs = CountedRuns(folder / "runs", num_groups=rules.num_items, group_size=rules.row_keys)
    write_users(folder, known, rules, runs, at_once=at_once, threads=threads)
    with ExitStack() as stack:
        writers = [stack.enter_context(DomainWriter(folder, rules, domain, text_IK)) for domain in (0, 1)]

        def tables(band: Rows) -> list[DomainTable]:
            keys, counts = runs.read(band)
            return [writer.table(keys, counts) for writer in writers]

        for of_band in side_by_side(tables, runs.bands(at_once), threads=threads):
            beat()
            for writer, table in zip(writers, of_band, strict=True):
                writer.add(table)
    shutil.rmtree(folder / "runs")
