"""Dual-graph sequential model and its DDP pretraining."""
