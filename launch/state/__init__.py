"""What a run has reached: manifests of what was made, states, what waits for its successor, where results come from."""
