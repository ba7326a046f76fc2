"""The model that commands ask: that of the environment, as the quickstart sets it."""

from __future__ import annotations

import os
from typing import Any

DEFAULT_URL, DEFAULT_MODEL = "http://localhost:11434/v1", "qwen3:8b"


def model_of_environment() -> tuple[Any, str]:
    """A backend by OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL, and what to call it.

    Raises ``MissingExtra`` without the SDK.
    """
    from looplet.backends import OpenAIBackend
    from looplet.backends.provider import plain_url

    # An empty variable is one that is not set.
    url = os.environ.get("OPENAI_BASE_URL") or DEFAULT_URL
    key = os.environ.get("OPENAI_API_KEY") or "x"
    model = os.environ.get("OPENAI_MODEL") or DEFAULT_MODEL
    return OpenAIBackend(base_url=url, api_key=key, model=model), f"{model} at {plain_url(url)}"
