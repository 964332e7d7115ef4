"""`kinrec ablate` from its start to its table."""
