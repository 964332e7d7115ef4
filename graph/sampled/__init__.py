"""The target's loss over candidates and drawn negatives: what a step costs does not grow with the catalogue."""
