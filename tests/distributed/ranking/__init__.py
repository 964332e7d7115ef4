"""The language model as a ranker, on ranks."""
