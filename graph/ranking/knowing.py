"""Questions to graphs that know something else than all of train: what a block of it knew, or a span of time."""

import dataclasses
import logging
from collections.abc import Iterable, Iterator

from graph.companions.kept import CompanionPlace, drop_companions
from graph.load import Prepared
from graph.ranking.full_ranking import Judge
from graph.ranking.list_parts import Question
from graph.ranking.parts import evidence_by_size
from pairs.tables import Samples

log = logging.getLogger(__name__)


def asked_of(
    judge: Judge,
    prepared: Prepared,
    known: Samples,
    asked: Iterable[Samples],
    place: CompanionPlace,
    *,
    leave_own: bool,
) -> Iterator[Question]:
    """Samples, and what the evidence says to them out of graphs of what is `known`, whose companions are at `place`;
    both are gone with this. Nothing where nothing is known. A collective.

    Args:
        leave_own: as if the samples of the user who asks did not exist.
    """
    if len(known) == 0:
        log.info("%s: nothing was known before it, its samples have no lists", place.folder.name)
        return
    graphs = prepared.source.graphs_of(known, votes=False, place=place)
    del known
    knowing = dataclasses.replace(judge, graphs=graphs.to(judge.world.device))
    scores = evidence_by_size(knowing, leave_own=leave_own)
    for samples in asked:
        yield knowing, samples, scores
        del samples
    del graphs, knowing, scores  # before the files that they are mapped from
    drop_companions(place)
