"""Secrets out of texts and structures. Knows strings and JSON; knows no file and no backend.

A secret is replaced by a placeholder that tells nothing of it and stays the same, so that what a
replay hands back, which holds placeholders, is treated as the recording treated the secret.
"""

from looplet.redaction.redactor import Given, Redactor
from looplet.redaction.structures import redact_strings

__all__ = ["Given", "Redactor", "redact_strings"]
