"""Trajectories: runs as data, and the Parquet dataset that keeps them."""
