"""Model backends: one provider a module. Knows no loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from looplet.lazy import lazy_names

if TYPE_CHECKING:
    from looplet.backends.anthropic import AnthropicBackend, AsyncAnthropicBackend
    from looplet.backends.anthropic_stream import (
        AnthropicStreamingBackend,
        AsyncAnthropicStreamingBackend,
    )
    from looplet.backends.cache import CacheControl, CachePolicy
    from looplet.backends.calling import async_llm_call
    from looplet.backends.cost import CostTracker
    from looplet.backends.openai import AsyncOpenAIBackend, OpenAIBackend
    from looplet.backends.openai_stream import AsyncOpenAIStreamingBackend, OpenAIStreamingBackend
    from looplet.backends.prices import GenAIPrices
    from looplet.backends.probe import (
        NativeToolProbeResult,
        probe_native_tool_support,
        supports_native_tools,
    )
    from looplet.backends.profile import ModelProfile
    from looplet.backends.resilient import ResilientBackend
    from looplet.backends.router import BackendRouter
    from looplet.backends.routing import FallbackRouter, RoutingLLMBackend, SimpleRouter
    from looplet.core.protocols import AsyncLLMBackend, LLMBackend, NativeToolBackend

__all__ = [
    "AnthropicBackend",
    "AnthropicStreamingBackend",
    "AsyncAnthropicBackend",
    "AsyncAnthropicStreamingBackend",
    "AsyncLLMBackend",
    "AsyncOpenAIBackend",
    "AsyncOpenAIStreamingBackend",
    "BackendRouter",
    "CacheControl",
    "CachePolicy",
    "CostTracker",
    "FallbackRouter",
    "GenAIPrices",
    "LLMBackend",
    "ModelProfile",
    "NativeToolBackend",
    "NativeToolProbeResult",
    "OpenAIBackend",
    "OpenAIStreamingBackend",
    "ResilientBackend",
    "RoutingLLMBackend",
    "SimpleRouter",
    "async_llm_call",
    "probe_native_tool_support",
    "supports_native_tools",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "AnthropicBackend": "looplet.backends.anthropic",
        "AnthropicStreamingBackend": "looplet.backends.anthropic_stream",
        "AsyncAnthropicBackend": "looplet.backends.anthropic",
        "AsyncAnthropicStreamingBackend": "looplet.backends.anthropic_stream",
        "AsyncLLMBackend": "looplet.core.protocols",
        "AsyncOpenAIBackend": "looplet.backends.openai",
        "AsyncOpenAIStreamingBackend": "looplet.backends.openai_stream",
        "BackendRouter": "looplet.backends.router",
        "CacheControl": "looplet.backends.cache",
        "CachePolicy": "looplet.backends.cache",
        "CostTracker": "looplet.backends.cost",
        "FallbackRouter": "looplet.backends.routing",
        "GenAIPrices": "looplet.backends.prices",
        "LLMBackend": "looplet.core.protocols",
        "ModelProfile": "looplet.backends.profile",
        "NativeToolBackend": "looplet.core.protocols",
        "NativeToolProbeResult": "looplet.backends.probe",
        "OpenAIBackend": "looplet.backends.openai",
        "OpenAIStreamingBackend": "looplet.backends.openai_stream",
        "ResilientBackend": "looplet.backends.resilient",
        "RoutingLLMBackend": "looplet.backends.routing",
        "SimpleRouter": "looplet.backends.routing",
        "async_llm_call": "looplet.backends.calling",
        "probe_native_tool_support": "looplet.backends.probe",
        "supports_native_tools": "looplet.backends.probe",
    },
)
