"""The language model that is asked about titles; loaded only if a recipe asks."""
