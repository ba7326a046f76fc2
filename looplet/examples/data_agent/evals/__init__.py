"""Evals of the analyst."""
