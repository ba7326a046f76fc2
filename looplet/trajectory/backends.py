"""Backends whose calls are recorded, sync and async. Knows a log of calls; knows no loop."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from looplet.core.backend import Reply
from looplet.core.messages import Method
from looplet.core.wrapping import AsyncWrapper, SyncWrapper, Wrapper
from looplet.trajectory.model import LLMCall
from looplet.trajectory.recording import CallLog
from looplet.trajectory.redacting import Redact

MAX_CHARS = 200_000
"""Characters that are kept of a call's prompt, system prompt and reply each."""


class _Records(Wrapper):
    """What both recording backends are beside the call itself."""

    own_keywords = frozenset({"scope", "purpose", "caller"})
    """Keywords that tell who asks; they are taken even where the backend does not take them."""

    def __init__(
        self,
        backend: Any,
        *,
        max_chars_per_call: int = MAX_CHARS,
        redact: Redact | None = None,
        redact_upstream: bool = True,
        log: CallLog | None = None,
    ) -> None:
        super().__init__(backend)
        self.log = log or CallLog(
            redact=redact, redact_upstream=redact_upstream, max_chars=max_chars_per_call
        )

    @property
    def calls(self) -> list[LLMCall]:
        """Every call so far, in the order in which they began."""
        return self.log.calls

    @property
    def current_step_num(self) -> int | None:
        """The step that calls are linked to, where the loop does not say."""
        return self.log.current_step_num

    @current_step_num.setter
    def current_step_num(self, number: int | None) -> None:
        self.log.current_step_num = number

    def save(self, dir: str | os.PathLike[str]) -> Path:  # noqa: A002 - the contract's name
        """Write the calls that have ended into a trace directory, which is returned.

        What is there of another run is removed first.
        """
        from looplet.trajectory.trace_dir import TraceDir  # loaded by those who write

        trace = TraceDir(dir, run_id=self.log.run_id)
        trace.write_calls(self.log.finished)
        return trace.path

    def reset(self) -> None:
        """Forget the calls, for another run."""
        self.log.reset()

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            # A replay must answer this question as the recorded backend did.
            if name == "generate_with_tools":
                self.log.lacks_native_tools = True
            raise


class RecordingLLMBackend(_Records, SyncWrapper):
    """A sync backend whose calls are recorded; errors are recorded and raised again.

    ``redact`` takes secrets out of every text of ``calls``, and with ``redact_upstream`` also out
    of what the backend is sent; the caller gets the reply as it came. Of prompt, system prompt and
    reply at most ``max_chars_per_call`` characters each are kept.

    >>> from looplet.testing import MockLLMBackend
    >>> llm = RecordingLLMBackend(MockLLMBackend(["0.55"]))
    >>> llm.generate("What does a pear cost?")
    '0.55'
    >>> llm.calls[0].prompt, llm.calls[0].response
    ('What does a pear cost?', '0.55')
    """

    def around(self, method: Method, prompt: str, keywords: dict[str, Any]) -> Reply:
        """Make one call and record it."""
        call = self.log.begin(self.inner, method, prompt, keywords)
        try:
            reply: Reply = self.forward(method, call.prompt, call.keywords)
        except BaseException as error:
            call.error(error)
            raise
        call.reply(reply, self.inner)
        return reply


class AsyncRecordingLLMBackend(_Records, AsyncWrapper):
    """The same for an async backend."""

    async def around(self, method: Method, prompt: str, keywords: dict[str, Any]) -> Reply:
        """Make one call and record it."""
        call = self.log.begin(self.inner, method, prompt, keywords)
        try:
            reply: Reply = await self.forward(method, call.prompt, call.keywords)
        except BaseException as error:
            call.error(error)
            raise
        call.reply(reply, self.inner)
        return reply
