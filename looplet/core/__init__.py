"""The agent loop and what it is made of. Knows no provider, no file format and no pytest."""
