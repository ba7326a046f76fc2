"""Both drivers behind one face, so that every test of the loop runs through both."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from looplet import DefaultState, LoopConfig, async_composable_loop, composable_loop
from looplet.core.runtime import Runtime
from looplet.testing import (
    AsyncMockLLMBackend,
    AsyncScriptedToolBackend,
    MockLLMBackend,
    ScriptedToolBackend,
)


@dataclass
class Ran:
    """What a run left."""

    steps: list[Any] = field(default_factory=list)
    state: Any = None
    error: BaseException | None = None
    value: Any = None

    @property
    def stop_reason(self) -> str:
        return self.state._stop_reason

    @property
    def tools(self) -> list[str]:
        return [step.tool_call.tool for step in self.steps]


class Sync:
    asynchronous = False

    def text(self, responses: list[Any], **options: Any) -> Any:
        return MockLLMBackend(responses, cycle=False, **options)

    def native(self, replies: list[Any], **options: Any) -> Any:
        return ScriptedToolBackend(replies, **options)

    def __call__(
        self, llm: Any, *, leave_after: int | None = None, on_step: Any = None, **keywords: Any
    ) -> Ran:
        """Run to the end, or leave after so many steps; exceptions are kept."""
        ran = Ran(state=keywords.setdefault("state", _state(keywords)))
        loop = composable_loop(llm, **keywords)
        try:
            while leave_after is None or len(ran.steps) < leave_after:
                ran.steps.append(next(loop))
                if on_step is not None:
                    on_step(ran.steps[-1])
            loop.close()
        except StopIteration as end:
            ran.value = end.value
        except BaseException as error:
            ran.error = error
        return ran


class Async:
    asynchronous = True

    def text(self, responses: list[Any], **options: Any) -> Any:
        return AsyncMockLLMBackend(responses, cycle=False, **options)

    def native(self, replies: list[Any], **options: Any) -> Any:
        return AsyncScriptedToolBackend(replies, **options)

    def __call__(
        self, llm: Any, *, leave_after: int | None = None, on_step: Any = None, **keywords: Any
    ) -> Ran:
        ran = Ran(state=keywords.setdefault("state", _state(keywords)))

        async def run() -> None:
            loop = async_composable_loop(llm, **keywords)
            try:
                while leave_after is None or len(ran.steps) < leave_after:
                    ran.steps.append(await anext(loop))
                    if on_step is not None:
                        on_step(ran.steps[-1])
                await loop.aclose()
            except StopAsyncIteration:
                pass
            except BaseException as error:
                ran.error = error

        asyncio.run(run())
        return ran


class AsyncOverSync(Async):
    """The async loop with a plain backend, which runs in a thread."""

    text = Sync.text
    native = Sync.native


def _state(keywords: dict[str, Any]) -> DefaultState:
    config = keywords.get("config") or LoopConfig()
    return DefaultState(max_steps=keywords.get("max_steps") or config.max_steps)


@dataclass
class Clock:
    """Time that passes only when somebody pauses."""

    seconds: float = 1_000.0
    pauses: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.seconds += seconds

    @property
    def runtime(self) -> Runtime:
        return Runtime(now=lambda: self.seconds, perf=lambda: self.seconds, sleep=self.sleep)


DRIVERS = {"sync": Sync(), "async": Async(), "threads": AsyncOverSync()}
