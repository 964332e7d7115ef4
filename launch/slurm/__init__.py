"""A run's stages as SLURM jobs: the recipe's section, readable batch scripts, what is queued, sweeps."""
