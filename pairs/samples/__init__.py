"""Interactions to samples on disk."""
