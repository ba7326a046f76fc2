"""A kitchen helper with two models: the cheap one works, the strong one gets it out of trouble."""
