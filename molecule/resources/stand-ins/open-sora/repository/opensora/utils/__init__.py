"""Configuration, as far as the stand-in has one, and the picture."""
