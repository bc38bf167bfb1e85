"""Headless engine for semi-supervised segmentation of medical volumes from few labelled slices."""

__version__ = "0.1.0"
