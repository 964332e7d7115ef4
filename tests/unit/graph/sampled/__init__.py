"""The sampled losses are the full softmax's where all items are candidates, and estimate it where they are not."""
