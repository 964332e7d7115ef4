"""What the graph stage needs, worked out from its configuration and the pair's counts."""
