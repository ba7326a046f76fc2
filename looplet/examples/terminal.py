"""What the examples' command lines share: which model answers, and how a run is shown."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable

from looplet import OpenAIBackend, Step
from looplet.core.records import escape_controls
from looplet.errors import BackendError, MissingExtra

DEFAULT_URL, DEFAULT_MODEL = "http://localhost:11434/v1", "qwen3:8b"
FAILED = 1


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Where the model is, or that there is none."""
    parser.add_argument("--scripted", action="store_true", help="no model: replies from a script")
    parser.add_argument("--model", default=os.environ.get("OPENAI_MODEL", DEFAULT_MODEL))
    parser.add_argument("--base-url", default=os.environ.get("OPENAI_BASE_URL", DEFAULT_URL))


def model_at(base_url: str, model: str) -> OpenAIBackend:
    """A model behind a server that speaks OpenAI's protocol; exits with a line if it cannot be."""
    key = os.environ.get("OPENAI_API_KEY", "x")
    try:
        return OpenAIBackend(base_url=base_url, api_key=key, model=model)
    except (BackendError, MissingExtra) as error:
        sys.exit(f"error: {error}")


def show(steps: Iterable[Step]) -> int:
    """Print each step as it comes; the exit status, which is 1 if the model could not be asked."""
    for step in steps:
        if step.tool_call.tool == "__llm_error__":
            return complain(step.tool_result.error or "the model could not be asked")
        print(step.pretty(), flush=True)
    return 0


def complain(text: str) -> int:
    """Say in a line what went wrong; the exit status for it."""
    print(f"error: {escape_controls(text)}", file=sys.stderr)
    return FAILED


def asked(question: str) -> bool:
    """Whether a person at the terminal says yes; without a terminal nobody does."""
    if not sys.stdin.isatty():
        return False
    return input(f"{escape_controls(question)} [y/N] ").strip().lower() in ("y", "yes")
