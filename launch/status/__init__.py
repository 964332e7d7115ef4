"""What `kinrec status` shows of runs: stages, ranks at work, jobs."""
