"""looplet: an agent loop you own, with record and replay, evals and trajectories."""

__version__ = "0.1.0"
