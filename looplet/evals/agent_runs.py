"""One run of an agent for a case, through its cassette. Knows agents, cassettes; no pytest.

A suite says how a run is made by a function that takes ``case``, ``trial``, ``live``, ``wrap_llm``
and ``cassette``, as far as it names them, and gives what ``looplet.replay.agent_of`` takes. An
``async def`` is driven by the async loop, as is an agent with an async backend.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from looplet.core.backend import is_async
from looplet.core.codec import JSON
from looplet.errors import CassetteMissing, EvalError
from looplet.evals.planned import PlannedRun
from looplet.redaction import Redactor
from looplet.replay import Agent, Divergence, RecordMode, SideEffectRefused, agent_of, use_cassette
from looplet.replay.cassette import Cassette, ToolsMode, stems_from
from looplet.replay.running import Driven, finish, recorder_of
from looplet.trajectory.model import Trajectory
from looplet.trajectory.recorder import TrajectoryRecorder

TAKES = ("case", "trial", "live", "wrap_llm", "cassette")
"""What the function that makes an agent may take."""
ANEW = ("all", "rewrite")
OVERLOOKED = "results_overlooked"
"""The key of a trajectory's metadata that counts answers to other tool results."""
AGENT = "agent"
"""The key of a cassette's metadata that names the agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How every run of a suite goes through its cassette."""

    mode: RecordMode = "none"
    tools: ToolsMode = "live"
    any_results: bool = False
    """Whether a recorded answer also answers a question that differs in tool results alone."""
    redact: Any = None
    metadata: Mapping[str, JSON] = field(default_factory=dict)
    """Beside case and trial, for cassettes that are recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeRun:
    """A run as far as it went."""

    trajectory: Trajectory
    recorded: bool = False
    """Whether a model was asked."""
    unplayed: int = 0
    """Recorded calls that nobody asked for: the agent ended earlier than it did."""
    overlooked: int = 0
    """Questions that were answered as recorded although tools gave something else before them."""
    divergence: Divergence | SideEffectRefused | None = None
    """Where and how it left its cassette, if it did; what there is of the run is then no run."""


def make_run(
    build: Callable[..., Any],
    planned: PlannedRun,
    *,
    settings: Settings,
    about: Mapping[str, Any] | None = None,
) -> MadeRun:
    """Run the agent that ``build`` gives, answered by the cassette, or recording it.

    ``about`` is what the trajectory is told beside: its id, its dataset. Its task is that of the
    case unless the agent brings its own. Raises ``EvalError`` if ``build`` cannot be called, or
    gives no backend where one is needed; ``CassetteMissing`` and its kind; and what the agent
    raises.
    """
    live = may_go_live(planned.cassette, settings.mode)
    if settings.mode == "none" and not planned.cassette.exists():
        place = (about or {}).get("cassette", planned.cassette)
        raise CassetteMissing(f"there is no cassette {place}, {_shown(planned)}")
    redactor = Redactor.of(settings.redact)
    with _opened(planned, settings, redactor) as cassette:
        known = {**_known(planned, cassette, redactor), **(about or {})}
        models = Models(cassette, recorder_of(cassette, replay_of=None, about=known))
        built = build(**arguments_of(build, planned, live=live, wrap_llm=models.wrap_llm))
        agent = None if inspect.isawaitable(built) else agent_of(built)
        asynchronous = agent is None or is_async(agent.llm)
        if settings.any_results:
            cassette.overlook_results()
        work = _driven(
            built if agent is None else agent,
            planned,
            models,
            asynchronous=asynchronous,
            asks=settings.mode if live else None,
        )
        left = finish(work, asynchronous=asynchronous, instead="score evals where none is")
        left = left or cassette.divergence
        cassette.clear_divergence()
        recorded, unplayed = cassette.recording, cassette.unplayed
        overlooked = cassette.overlooked
    trajectory = models.recorder.trajectory
    trajectory.cassette_hash = cassette.content_hash
    trajectory.replay_of = None if recorded else cassette.content_hash
    if overlooked:
        trajectory.metadata[OVERLOOKED] = overlooked
    return MadeRun(
        trajectory=trajectory,
        recorded=recorded,
        unplayed=unplayed,
        overlooked=overlooked,
        divergence=left,
    )


class Models:
    """Puts cassette and recorder around the models of an agent, which may have several."""

    def __init__(self, cassette: Cassette, recorder: TrajectoryRecorder) -> None:
        self.cassette, self.recorder = cassette, recorder
        self.wrapped = False
        """Whether the agent had its models wrapped itself."""

    def wrap_llm(self, llm: Any, *, lane: str, async_: bool | None = None) -> Any:
        """A model through the cassette, in a lane of its own; in a replay it may be ``None``."""
        self.wrapped = True
        wrapped = self.cassette.wrap_llm(llm, lane=lane, async_=async_)
        return self.recorder.wrap_llm(wrapped, async_=async_)


def may_go_live(cassette: Path, mode: RecordMode) -> bool:
    """Whether a model may be asked."""
    return mode in (*ANEW, "new_episodes") or (mode == "once" and not cassette.exists())


def arguments_of(
    build: object, planned: PlannedRun, *, live: bool, wrap_llm: Callable[..., Any]
) -> dict[str, Any]:
    """What the function is called with. Raises ``EvalError`` if that is not what it takes."""
    if not callable(build) or hasattr(build, "tools"):
        raise EvalError(
            f"the fixture agent gives {type(build).__name__}; it must give a function that makes "
            "the agent of one run, so that no two runs share a state: return lambda case: ..."
        )
    given = {
        "case": planned.case,
        "trial": planned.trial,
        "live": live,
        "wrap_llm": wrap_llm,
        "cassette": planned.cassette,
    }
    taken = {}
    for name, parameter in inspect.signature(build).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            return given
        if name in given and parameter.kind is not parameter.POSITIONAL_ONLY:
            taken[name] = given[name]
        elif (
            parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL
        ):
            raise EvalError(
                f"the function that the fixture agent gives takes {name!r}; there are "
                f"{', '.join(TAKES)}, by these names"
            )
    return taken


async def _driven(
    built: Any, planned: PlannedRun, models: Models, *, asynchronous: bool, asks: str | None
) -> Divergence | SideEffectRefused | None:
    """Run the agent to its end; what it left its cassette by.

    ``asks`` is the record mode that asks a model, if it does.
    """
    agent = built if isinstance(built, Agent) else agent_of(await built)
    if agent.task is None:
        agent = replace(agent, task=_given(planned.case.task))
    if agent.llm is None and asks is not None:
        raise EvalError(
            f"--looplet-record={asks} asks a model, and the agent brings none: let the "
            'function that the fixture agent gives take live, and give "llm" where it is true'
        )
    cassette = models.cassette
    run = Driven(
        agent,
        cassette,
        recorder=models.recorder,
        asynchronous=asynchronous,
        models_wrapped=models.wrapped,
    )
    try:
        await run.drive()
    except SideEffectRefused as error:
        return error
    except BaseException as error:
        if not stems_from(error, cassette.divergence):
            raise
    return None


def _known(planned: PlannedRun, cassette: Cassette, redactor: Redactor) -> dict[str, Any]:
    """What the recorder is told of the run."""
    return {
        "task_id": planned.case.id,
        "trial": planned.trial,
        "expected": _given(planned.case.expected),
        "tags": planned.case.marks,
        "agent": cassette.metadata.get(AGENT),
        "metadata": dict(cassette.metadata),
        "redact": redactor if redactor.active else None,
        "redact_upstream": False,
    }


def _opened(
    planned: PlannedRun, settings: Settings, redactor: Redactor
) -> AbstractContextManager[Cassette]:
    """The cassette, before the agent is made, which may put it around its models."""
    return use_cassette(
        planned.cassette,
        record_mode=settings.mode,
        tools=settings.tools,
        redact=redactor,
        metadata={**settings.metadata, **_names(planned)},
    )


def _names(planned: PlannedRun) -> dict[str, JSON]:
    """What a cassette is told, so that it can be replayed without its case at hand."""
    names: dict[str, JSON] = {"task_id": planned.case.id, "trial": planned.trial}
    expected = _given(planned.case.expected)
    return names if expected is None else {**names, "expected": expected}


def _given(value: JSON) -> JSON:
    """A case's task or what it expects; ``None`` if it says nothing. 0 and False say something."""
    return None if value == {} else value


def _shown(planned: PlannedRun) -> str:
    trial = "" if planned.trial is None else f", trial {planned.trial}"
    return f"of case {planned.case.id!r}{trial}"
