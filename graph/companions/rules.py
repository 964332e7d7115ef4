"""What is counted as a companion."""

from dataclasses import dataclass

from graph.companions.pair_keys import NUM_GAPS


@dataclass(frozen=True)
class CompanionRules:
    """What is counted of a catalogue."""

    num_items: int
    num_x: int
    window: int
    max_companions: int

    def ids(self, domain: int) -> range:
        """The items of one domain."""
        return range(self.num_x) if domain == 0 else range(self.num_x, self.num_items)

    @property
    def row_keys(self) -> int:
        """Numbers that stand for an item's pairs."""
        return self.num_items * NUM_GAPS
