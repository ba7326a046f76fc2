"""Evals of the parcel desk."""
