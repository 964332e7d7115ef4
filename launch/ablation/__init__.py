"""`kinrec ablate`: what each part of the graph stage and of the ranking earns, one run a part."""
