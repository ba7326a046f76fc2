"""Evals of the greeter."""
