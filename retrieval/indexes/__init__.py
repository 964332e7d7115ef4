"""Top-k search by inner product: exact and approximate, of keys in memory and on disk, over one rank or many."""
