"""Benches as they are started, on small inputs."""
