"""Stand-in for torchvision."""

__version__ = "0.19.0+cu121"
