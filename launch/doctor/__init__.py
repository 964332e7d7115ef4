"""`kinrec doctor`: whether this machine, or this allocation, can run a recipe; a line for every check."""
