"""``looplet stats``: what the runs of a store come to."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from looplet.cli.parsing import Commands
from looplet.cli.saying import say, say_json
from looplet.core.wording import counted
from looplet.errors import EvalError

if TYPE_CHECKING:
    from looplet.evals.measuring import Group, Spread

_METRICS = ("success", "pass^k", "steps", "tokens", "cost", "errors")
_WIDTH = 10


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "stats",
        help="what the runs of a store come to: success, steps, tokens, cost, errors",
        description="Success with its 95 % interval, in which every task weighs the same and "
        "trials of one task are not taken for independent; pass^k where tasks were tried several "
        "times; steps, tokens, cost and errors of tools. Replays of a recording count once.",
        examples=["looplet stats runs --by model --metric success"],
    )
    parser.add_argument("store", metavar="STORE")
    parser.add_argument("--by", metavar="COLUMN", help="a group for each value, such as model")
    parser.add_argument(
        "--metric",
        action="append",
        choices=_METRICS,
        metavar="M",
        help=f"{', '.join(_METRICS)}; may be repeated (default: all)",
    )
    parser.add_argument("--json", action="store_true", help="say it as JSON")
    parser.set_defaults(command=stats)


def stats(given: argparse.Namespace) -> int:
    """Print a block for each group."""
    from looplet.evals.measuring import measure
    from looplet.trajectory.store import TrajectoryStore

    groups = measure(TrajectoryStore(given.store), by=given.by)
    if not groups:
        raise EvalError(f"the store {given.store} holds no runs")
    if given.json:
        say_json({"groups": [asdict(group) for group in groups]})
        return 0
    wanted = given.metric or _METRICS
    for group in groups:
        for line in _lines(group, given.by, wanted):
            say(line)
    return 0


def _lines(group: Group, by: str | None, wanted: Any) -> Iterator[str]:
    head = counted(group.runs, "run")
    if by is not None:
        head = f"{by} {group.name if group.name is not None else '-'}: {head}"
    replays = f", {counted(group.replays, 'replay')} left out" if group.replays else ""
    yield head + replays
    for name in _METRICS:
        if name in wanted:
            text = _TEXTS[name](group)
            if text is not None:
                yield f"  {name:<{_WIDTH}}{text}"


def _success(group: Group) -> str | None:
    found = group.success
    if found is None:
        return "not known of any run"
    text = (
        f"{found.rate:.4f} ({found.interval.low:.3f} to {found.interval.high:.3f})  "
        f"{found.passed:,} of {counted(found.runs, 'run')}, {counted(found.tasks, 'task')}, "
        f"by {found.judged_by}"
    )
    return f"{text}; {found.unknown:,} not known" if found.unknown else text


def _pass_hat(group: Group) -> str | None:
    if len(group.pass_hat) <= 1:
        return None  # every run has a task of its own, or a task was tried once: it is the success
    return f"{' '.join(f'{each:.4f}' for each in group.pass_hat)}  (k = 1 to {len(group.pass_hat)})"


def _steps(group: Group) -> str:
    return _spread(group.steps, "{:,.1f}")


def _tokens(group: Group) -> str:
    sent, received = (
        _spread(each, "{:,.0f}") for each in (group.input_tokens, group.output_tokens)
    )
    return f"sent {sent}; received {received}"


def _cost(group: Group) -> str:
    return _spread(group.cost_usd, "${:,.4f}")


def _errors(group: Group) -> str:
    if not group.tool_calls:
        return "no tool was called"
    share = group.tool_errors / group.tool_calls
    return f"{share:.4f}  {group.tool_errors:,} of {counted(group.tool_calls, 'call')} of tools"


def _spread(found: Spread, form: str) -> str:
    if found.mean is None or found.median is None or found.p90 is None:
        return "not known of any run"
    mean, median, p90 = map(form.format, (found.mean, found.median, found.p90))
    missing = f"; {found.missing:,} not known" if found.missing else ""
    return f"mean {mean}, median {median}, p90 {p90}{missing}"


_TEXTS: dict[str, Callable[[Group], str | None]] = {
    "success": _success,
    "pass^k": _pass_hat,
    "steps": _steps,
    "tokens": _tokens,
    "cost": _cost,
    "errors": _errors,
}
