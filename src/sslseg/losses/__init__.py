"""Masked losses and their ramps."""
