"""Audit a prepared pair for leaks: what must not be known about a held-out target before it is asked for.

Each check counts what it finds. A finding that `pair.audit_allow` does not name ends the run; one that it names stays
in the data card, counted.
"""

import logging
from typing import Any

from launch.errors import InputError
from pairs.card.leak_checks import (
    FutureTrain,
    HeldOutInTrain,
    IdenticalHistories,
    LaterHistories,
    LaterInEarlierSplit,
    LeakSearch,
    SharedUsers,
    TargetsInHistory,
)
from pairs.config import LeakCheck, PairConfig
from pairs.samples.spool import UserSamples

log = logging.getLogger(__name__)


class Audit:
    """The checks that a configuration asks for; `first_held_out` is the earliest time of a valid or test target,
    if there is one."""

    def __init__(self, config: PairConfig, *, first_held_out: int | None) -> None:
        self._config = config
        rule = config.split_rule
        self._searches: dict[LeakCheck, LeakSearch] = {}
        if rule == "time" and first_held_out is not None:
            self._searches["train_later_than_held_out"] = FutureTrain(first_held_out)
        if rule in ("user", "released"):
            self._searches["user_in_two_splits"] = SharedUsers()
        if rule in ("given", "last_one_out"):
            self._searches["user_later_in_earlier_split"] = LaterInEarlierSplit()
        self._searches["history_later_than_target"] = LaterHistories()
        self._searches["target_in_history"] = TargetsInHistory()
        self._searches["held_out_in_train"] = HeldOutInTrain()
        self._searches["identical_histories"] = IdenticalHistories()

    def add(self, batch: UserSamples) -> None:
        """All samples of some users."""
        for search in self._searches.values():
            search.add(batch)

    def conclude(self) -> dict[str, Any]:  # Any: plain JSON values
        """The card's entry; InputError at the first finding that is not allowed."""
        card: dict[str, Any] = {}
        for check, search in self._searches.items():
            finding = search.finding()
            allowed = check in self._config.allowed_findings
            fails = bool(finding.found) and not finding.tolerated
            if fails and not allowed:
                raise InputError(
                    f"leak audit: {check}: {finding.found} found, {finding.example}; mend the data, or add "
                    f"{check} to pair.audit_allow if it is meant"
                )
            if finding.found:
                log.warning("leak audit: %s: %d found, %s", check, finding.found, finding.example)
            card[check] = {
                "found": finding.found,
                **({"example": finding.example} if finding.found else {}),
                **({"allowed": allowed} if fails else {}),
            }
        return card
