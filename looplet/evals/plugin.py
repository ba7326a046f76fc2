"""The pytest plugin. Imports nothing heavy until an eval is collected."""
