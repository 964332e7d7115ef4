"""What a training loop of the graph stage is made of, beside the loop: the optimizer, what a checkpoint holds."""
