"""Companions: items that the same users have, counted once, kept on disk, read by all ranks through a memory map."""
