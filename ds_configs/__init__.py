"""DeepSpeed and Accelerate configuration files; README.md says when to use which."""
