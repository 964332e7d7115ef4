"""Parts of the bench of search: figures on one machine, memory of ranks, keys beyond memory."""
