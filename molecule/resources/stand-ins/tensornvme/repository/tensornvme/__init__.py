"""Stand-in for TensorNVMe."""
