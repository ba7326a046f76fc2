"""Model backends: one provider a module. Knows no loop."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from looplet.backends.openai import AsyncOpenAIBackend, OpenAIBackend
    from looplet.backends.profile import ModelProfile
    from looplet.backends.router import BackendRouter
    from looplet.core.protocols import AsyncLLMBackend, LLMBackend, NativeToolBackend

__all__ = [
    "AsyncLLMBackend",
    "AsyncOpenAIBackend",
    "BackendRouter",
    "LLMBackend",
    "ModelProfile",
    "NativeToolBackend",
    "OpenAIBackend",
]

_HOMES = {
    "AsyncLLMBackend": "looplet.core.protocols",
    "AsyncOpenAIBackend": "looplet.backends.openai",
    "BackendRouter": "looplet.backends.router",
    "LLMBackend": "looplet.core.protocols",
    "ModelProfile": "looplet.backends.profile",
    "NativeToolBackend": "looplet.core.protocols",
    "OpenAIBackend": "looplet.backends.openai",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
