"""Evals of the programmer."""
