"""Stand-in for xformers."""

__version__ = "0.0.27.post2"
