"""``looplet run`` and ``looplet list-bundles``: a shared agent at work, and which there are."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from looplet.cli.models import model_of_environment
from looplet.cli.parsing import Commands
from looplet.cli.saying import complain, say, say_json
from looplet.core.records import escape_controls, is_rejection
from looplet.errors import LoopletError, SkillError

if TYPE_CHECKING:
    from looplet.core.records import Step
    from looplet.skills import AgentPreset, BundleValidation, SkillBundle, SkillRuntime

FAILED = 1
_LLM_ERROR = "__llm_error__"


def add_to(commands: Commands) -> None:
    """Add the commands."""
    parser = commands.add_parser(
        "run",
        help="run a bundle on a task",
        description="Run a bundle, which is a folder with SKILL.md and an entrypoint, on a task. "
        "The model is that of OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL. Exits 0 if the "
        "run is done.",
        examples=['looplet run ./skills/grocer "Price the whole stock" --workspace .'],
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a folder, or its SKILL.md")
    parser.add_argument("task", metavar="TASK", help="what it is to do")
    add_runtime(parser)
    parser.add_argument("--trace-dir", type=Path, metavar="D", help="where the run is kept")
    parser.add_argument("--no-trace", action="store_true", help="keep nothing of the run")
    parser.add_argument(
        "--scripted", action="store_true", help="no model: the bundle's own scripted replies"
    )
    parser.add_argument(
        "--scripted-response",
        action="append",
        metavar="R",
        help="no model: this reply; may be given again, for the next one",
    )
    parser.add_argument(
        "--no-tests",
        action="store_true",
        help="tell a bundle with a run of its own that tests are not required",
    )
    parser.set_defaults(command=run_bundle)
    listing = commands.add_parser(
        "list-bundles",
        help="which bundles there are in some folders",
        description="List the bundles in some folders and all below them; nothing is imported. "
        "A line is name, status, path and description, with tabs between.",
        examples=["looplet list-bundles ./skills --include-invalid"],
    )
    listing.add_argument("roots", nargs="+", type=Path, metavar="ROOT")
    listing.add_argument("--json", action="store_true", help="a JSON list")
    listing.add_argument(
        "--include-invalid", action="store_true", help="also those that cannot be loaded"
    )
    listing.set_defaults(command=list_bundles)


def add_runtime(parser: argparse.ArgumentParser) -> None:
    """Add what a bundle is told of where it runs."""
    parser.add_argument(
        "--workspace", "-w", type=Path, default=Path(), metavar="D", help="where it works"
    )
    parser.add_argument("--max-steps", type=int, default=20, metavar="N", help="default: 20")


def list_bundles(given: argparse.Namespace) -> int:
    """A line, or a JSON object, for each."""
    from looplet.skills import discover_skill_bundles

    cards = discover_skill_bundles(*given.roots, include_invalid=given.include_invalid)
    if given.json:
        say_json([card.to_dict() for card in cards])
        return 0
    for card in cards:
        status = "ok" if card.ok else "invalid"
        told = card.description if card.ok else "; ".join(card.errors)
        print("\t".join(map(escape_controls, (card.name, status, card.path, told))))
    return 0


def run_bundle(given: argparse.Namespace) -> int:
    """Validate, then run: by the bundle's own ``run`` if it has one, else by the loop."""
    from looplet.skills import SkillRuntime, load_skill_bundle, validate_skill_bundle

    if not given.workspace.is_dir():
        raise SkillError(f"there is no folder {given.workspace} to work in")
    runtime = SkillRuntime(workspace=given.workspace, max_steps=given.max_steps)
    try:
        bundle = load_skill_bundle(given.bundle)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a bundle's import is its own code
        return _complain_of_bundle(f"{given.bundle} cannot be loaded", [_told(error)])
    name = bundle.skill.name
    found = validate_skill_bundle(bundle, runtime)
    for warning in found.warnings:
        complain("warning", warning)
    if not found.ok:
        return _complain_of_bundle(f"bundle {name!r} is not valid", found.errors)
    try:
        replies = _replies(bundle, given)
        if hasattr(bundle.module, "run"):
            return _own_run(bundle, given, runtime, replies)
        return _run(bundle, found, given, runtime, replies)
    except LoopletError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a bundle's own code; it is told
        return _complain_of_bundle(f"bundle {name!r} failed while running", [_told(error)])


def _complain_of_bundle(what: str, causes: Iterable[str]) -> int:
    complain("error", what)
    for cause in causes:
        line = " ".join(cause.split("\n"))
        print(escape_controls(f"  - {line}"), file=sys.stderr)
    return FAILED


def _told(error: BaseException) -> str:
    return str(error) if isinstance(error, LoopletError) else f"{type(error).__name__}: {error}"


def _replies(bundle: SkillBundle, given: argparse.Namespace) -> list[str] | None:
    """Scripted replies; ``None`` if a model is to be asked."""
    if given.scripted_response:
        return _checked("--scripted-response", given.scripted_response)
    if not given.scripted:
        return None
    source: Callable[[], Any] | None = getattr(bundle.module, "scripted_responses", None)
    if not callable(source):
        raise SkillError(
            f"the bundle {bundle.skill.name!r} has no scripted_responses(); leave --scripted out, "
            "or give replies by --scripted-response"
        )
    return _checked("scripted_responses()", source())


def _checked(what: str, replies: Any) -> list[str]:
    found = list(replies) if isinstance(replies, Iterable) and not isinstance(replies, str) else []
    if not found or not all(isinstance(each, str) and each.strip() for each in found):
        raise SkillError(f"{what} gives replies, one at least and none of them blank")
    return found


def _own_run(
    bundle: SkillBundle,
    given: argparse.Namespace,
    runtime: SkillRuntime,
    replies: list[str] | None,
) -> int:
    status = bundle.module.run(
        task=given.task,
        workspace=given.workspace,
        max_steps=given.max_steps,
        scripted=replies is not None,
        scripted_responses=replies,
        require_tests=not given.no_tests,
        trace_dir=_trace_dir(bundle, given, runtime),
        provenance=not given.no_trace,
    )
    if not isinstance(status, int) or isinstance(status, bool):
        raise TypeError(f"run gave {status!r:.80}; it is to return an exit status, an int")
    return status


def _trace_dir(
    bundle: SkillBundle, given: argparse.Namespace, runtime: SkillRuntime
) -> Path | None:
    from looplet.skills.running import trace_dir_of

    if given.no_trace:
        return None
    return given.trace_dir or trace_dir_of(bundle, runtime)


def _run(
    bundle: SkillBundle,
    found: BundleValidation,
    given: argparse.Namespace,
    runtime: SkillRuntime,
    replies: list[str] | None,
) -> int:
    from looplet.skills import run_skill_bundle

    assert found.preset is not None
    trace_dir = _trace_dir(bundle, given, runtime)
    say(f"Task: {given.task}\nWorkspace: {given.workspace.absolute()}")
    llm, preset = _model(found.preset, replies)
    show = getattr(bundle.module, "render_step", None) or _line
    steps = run_skill_bundle(
        bundle,
        llm=llm,
        task=given.task,
        runtime=runtime,
        provenance=trace_dir is not None,
        trace_dir=trace_dir,
        preset=preset,
    )
    last = _show(steps, show)
    if trace_dir is not None:
        say(f"Trace: {trace_dir}")
    return _status(last, preset)


def _model(preset: AgentPreset, replies: list[str] | None) -> tuple[Any, AgentPreset]:
    """The model, and the agent as it speaks with it; says both."""
    from looplet.backends import probe_native_tool_support
    from looplet.testing import MockLLMBackend

    if replies is not None:
        say(f"Model: scripted, {len(replies)} replies\nTool protocol: text\nProbe: not asked")
        plain = replace(preset.config, use_native_tools=False)
        return MockLLMBackend(replies, cycle=False), replace(preset, config=plain)
    llm, name = model_of_environment()
    say(f"Model: {name}")
    probe = probe_native_tool_support(llm)
    say(f"Tool protocol: {'native' if probe.supported else 'text'}\nProbe: {probe.reason}")
    config = replace(preset.config, use_native_tools=probe.supported)
    return llm, replace(preset, config=config)


def _show(steps: Iterable[Step], show: Callable[[Step], str | None]) -> Step | None:
    last = None
    for last in steps:
        line = show(last)
        if line is not None:
            say(line)
            sys.stdout.flush()
    return last


def _line(step: Step) -> str:
    result = step.tool_result
    error = f"rejected: {result.data.get('reason')}" if is_rejection(result) else result.error
    return f"#{step.number} {step.tool_call.tool} {'ok' if error is None else f'ERROR {error}'}"


def _status(last: Step | None, preset: AgentPreset) -> int:
    """Whether the run ended as it should, said if not."""
    from looplet.core.helpers import is_rejected_done

    if last is None:
        complain("error", "the run ended without a step")
        return FAILED
    result = last.tool_result
    if last.tool_call.tool == _LLM_ERROR:
        complain("error", result.error)
        return FAILED
    done = last.tool_call.tool == preset.config.done_tool and result.error is None
    if not done or is_rejected_done(last):
        complain("error", f"the run ended after step {last.number} and was not done")
        return FAILED
    return 0
