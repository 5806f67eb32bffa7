"""Stand-in for Triton."""

__version__ = "3.0.0"
