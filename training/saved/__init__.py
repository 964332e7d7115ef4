"""A fine-tune on the disk: checkpoints to go on from, weights to keep."""
