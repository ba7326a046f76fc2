"""Model backends: one provider a module. Knows no loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from looplet.lazy import lazy_names

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

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "AsyncLLMBackend": "looplet.core.protocols",
        "AsyncOpenAIBackend": "looplet.backends.openai",
        "BackendRouter": "looplet.backends.router",
        "LLMBackend": "looplet.core.protocols",
        "ModelProfile": "looplet.backends.profile",
        "NativeToolBackend": "looplet.core.protocols",
        "OpenAIBackend": "looplet.backends.openai",
    },
)
