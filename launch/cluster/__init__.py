"""Several nodes: what SLURM has given this job, how a stage starts on all of it, where its ranks meet."""
