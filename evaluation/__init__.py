"""Judge ranked lists: metrics, intervals, baselines, fusion, refinement, report."""
