"""Three self-attention encoders over trained tables that are propagated over graphs: the publication's model."""
