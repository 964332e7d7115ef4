"""KinRec's fine-tune and transformers' Trainer, on the same samples."""
