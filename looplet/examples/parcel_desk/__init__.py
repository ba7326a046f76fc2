"""A parcel desk: the agent whose recorded runs are replayed and scored by ``make demo``."""
