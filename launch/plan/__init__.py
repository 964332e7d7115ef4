"""`kinrec plan`: memory, time and disk of a recipe before any GPU is taken. Each package estimates its own stages."""
