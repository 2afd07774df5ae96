"""Evolutionary multi-objective search for small, fast and fair neural networks."""

__version__ = "0.1.0"
