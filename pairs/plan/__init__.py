"""What preparation needs, worked out from its configuration and the pair's counts."""
