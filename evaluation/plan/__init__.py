"""What evaluation needs, worked out from its configuration and the pair's counts."""
