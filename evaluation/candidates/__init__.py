"""Rank out of what the sources nominate, where a domain has too many items to score for every sample."""
