"""How a run is set up. Never changed by a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from looplet.core.codec import JSON
from looplet.core.runtime import Runtime

if TYPE_CHECKING:
    from os import PathLike

    from looplet.core.cancel import CancelToken
    from looplet.core.checkpoint import Checkpoint
    from looplet.core.domain import DomainAdapter
    from looplet.core.protocols import MemorySource


@dataclass
class LoopConfig:
    """What a run may do and how it asks.

    >>> LoopConfig(max_steps=6).max_steps
    6
    """

    max_steps: int = 15
    """Step limit of the run."""
    system_prompt: str = ""
    use_native_tools: bool = False
    """Send tool schemas and read ``tool_use`` blocks, if the backend can."""
    approval_handler: Callable[[str, list[str] | None], str | None] | None = None
    """Reached by tools through ``ctx.approve``."""
    max_tokens: int = 2000
    temperature: float = 0.2
    recovery_temperature: float = 0.1
    """For repair calls."""
    done_tool: str = "done"
    concurrent_dispatch: bool = False
    """Run neighbouring ``concurrent_safe`` calls of one turn at the same time."""
    max_briefing_tokens: int | None = None
    """Bound of the briefing, in quarters of characters; later hook texts are left out."""
    generate_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Passed to the backend where its method takes the name."""
    tool_metadata: Mapping[str, Any] = field(default_factory=dict)
    """Stands below ``state.metadata`` in ``ctx.metadata``."""
    max_turn_continuations: int = 0
    """Further calls for a text reply that the token limit cut short; the parts are joined."""
    memory_sources: Sequence[MemorySource] = field(default_factory=list)
    cancel_token: CancelToken | None = None
    checkpoint_dir: str | PathLike[str] | None = None
    """Where the run is kept after each step; run again with it, and the run goes on."""
    initial_checkpoint: Checkpoint | str | PathLike[str] | None = None
    """A checkpoint, or its file, to go on from instead of the directory's newest."""
    tool_result_persist_dir: str | PathLike[str] | None = None
    """Where results over 50,000 characters are put; prompts then show a preview and the path."""
    router: Any = None
    """``.select(purpose=…)`` picks the backend of each call."""
    tracer: Any = None
    """Has ``start_span(name, **kw)``: spans for the run, each question to the model, each call."""
    compact_service: Any = None
    """Makes later prompts shorter when a hook asks for it; ``None``: the newest turns are kept."""
    reactive_recovery: bool = True
    """Make a prompt shorter, and ask again, when it is too long for the model."""
    recovery_registry: Any = None
    """A ``RecoveryRegistry``, or one strategy with ``recover(error, *, …)``: asked what to do when
    a model call failed, before the loop's own rules."""
    cache_policy: Any = None
    """A ``CachePolicy``: what of a prompt the provider may keep; for backends that take it."""
    context_window: int = 128_000
    """Tokens that the model can read."""
    output_schema: Mapping[str, JSON] | None = None
    """JSON Schema of done's arguments; beyond plain types it needs the extra ``schema``."""
    acceptance_criteria: Sequence[str] | None = None
    """Texts shown under TASK."""
    domain: DomainAdapter | None = None
    """Stands in for the following where they are not set."""
    build_briefing: Callable[[Any, Any, Any], str | None] | None = None
    build_prompt: Callable[..., str | None] | None = None
    build_trace: Callable[..., Any] | None = None
    extract_entities: Callable[[Any], Sequence[str]] | None = None
    extract_step_metadata: Callable[[Any, Any], Mapping[str, Any]] | None = None
    render_messages_override: Callable[..., str] | None = None
    """Has the last word on the prompt: what it returns is sent as it is."""
    runtime: Runtime = field(default_factory=Runtime)
    """Time, pauses and ids."""
    hooks: Sequence[Any] = ()
    """Hooks that come with the configuration; they are asked after those that the loop is given."""
