"""Evals: marked functions, scored by pytest. Knows nothing of how a trajectory was made."""
