"""The language model as a ranker: candidates, one forward pass over all of them, their scores."""
