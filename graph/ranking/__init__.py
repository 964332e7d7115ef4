"""Ask a graph model: full rankings, its parts alone, user vectors, any history; the files that others read."""
