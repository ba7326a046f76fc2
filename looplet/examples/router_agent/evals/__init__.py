"""Evals of the kitchen helper."""
