"""How a job runs: configuration, process group, artifacts, checkpoints, tracking, command."""
