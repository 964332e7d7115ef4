"""Whether the ranks of a stage move: their beats, the watchdog over them, and what they leave when they fail."""
