"""Late interaction: every item of a history votes by itself for items that are near it in factorised tables."""
