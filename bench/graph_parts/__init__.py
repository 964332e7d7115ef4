"""Parts of `bench.graph`: its table's rows, item graphs and propagation."""
