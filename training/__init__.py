"""Prompts, token batches, LLM fine-tuning and generation."""
