"""What the examples' command lines share: which model answers, and how a run is shown."""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Callable, Iterable
from typing import ParamSpec

from looplet import OpenAIBackend, Step
from looplet.core.records import escape_controls
from looplet.errors import LoopletError

DEFAULT_URL, DEFAULT_MODEL = "http://localhost:11434/v1", "qwen3:8b"
FAILED, PIPE_CLOSED, INTERRUPTED = 1, 141, 130
"""Exit statuses; the last two are those that a shell gives."""
Given = ParamSpec("Given")


def command(main: Callable[Given, int]) -> Callable[Given, int]:
    """A ``main`` as a user expects it: an error is a line on stderr, and any stream will do."""

    @functools.wraps(main)
    def run(*args: Given.args, **keywords: Given.kwargs) -> int:
        for stream in (sys.stdout, sys.stderr):
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure is not None:  # what the encoding lacks is an escape
                reconfigure(errors="backslashreplace")
        try:
            status = main(*args, **keywords)
            sys.stdout.flush()
        except BrokenPipeError:  # the reader went away; nothing more is to be printed
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return PIPE_CLOSED
        except KeyboardInterrupt:
            complain("interrupted")
            return INTERRUPTED
        except (LoopletError, OSError) as error:
            return complain(str(error))
        return status

    return run


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Where the model is, or that there is none."""
    parser.add_argument("--scripted", action="store_true", help="no model: replies from a script")
    parser.add_argument("--model", default=setting("OPENAI_MODEL", DEFAULT_MODEL))
    parser.add_argument("--base-url", default=setting("OPENAI_BASE_URL", DEFAULT_URL))


def setting(variable: str, default: str) -> str:
    """What an environment variable holds; an empty one is one that is not set."""
    return os.environ.get(variable) or default


def model_at(base_url: str, model: str) -> OpenAIBackend:
    """A model behind a server that speaks OpenAI's protocol."""
    return OpenAIBackend(base_url=base_url, api_key=setting("OPENAI_API_KEY", "x"), model=model)


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
