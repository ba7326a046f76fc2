"""Cassettes: model calls recorded once and replayed for ever. Knows no pytest."""
