"""Evals of the clerk."""
