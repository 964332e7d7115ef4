"""What is judged and how it is chosen: baselines, fusions, sources; ends in metrics.json."""
