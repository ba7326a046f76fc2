"""Ask the helper, and see which model answered what, and what that cost.

    python -m looplet.examples.router_agent [question] [--scripted] [--model M] [--strong-model M]

Both models are behind the same server. With ``--cassette`` the run is recorded into FILE; if FILE
is there, it is replayed without a model, and costs the same.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from looplet import composable_loop
from looplet.errors import LoopletError
from looplet.examples.router_agent.agent import CHEAP, STRONG, Helper
from looplet.examples.router_agent.tasks import TASKS
from looplet.examples.terminal import (
    DEFAULT_MODEL,
    add_model_options,
    command,
    complain,
    model_at,
    setting,
    show,
)
from looplet.replay import Divergence, use_cassette


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the example; 1 if no model can be asked, or a replay differs."""
    given = _arguments(argv)
    if given.cassette is None:
        return _run(Helper(_models(given)), given.question)
    try:
        with use_cassette(given.cassette, record_mode="once", tools="recorded") as cassette:
            if cassette.recording:
                return _run(Helper(_models(given), cassette=cassette), given.question)
            helper = Helper({CHEAP: None, STRONG: None}, cassette=cassette)
            status = _run(helper, cassette.runs[0].task["goal"])
            if cassette.replayed[0].digest != cassette.runs[0].digest:
                return complain(
                    f"{given.cassette}: the run came out otherwise than it was recorded"
                )
            return status
    except (LoopletError, Divergence) as error:
        return complain(str(error))


def _run(helper: Helper, question: str) -> int:
    status = show(composable_loop(**helper.agent(question)))
    print("\nstep  model   USD")
    for item in helper.bill.items:
        print(f"{item.step:4}  {item.model:6}  {item.usd:.4f}")
    print(f"              {helper.router.total_cost:.4f}")
    return status


def _models(given: argparse.Namespace) -> dict[str, Any]:
    if given.scripted:
        return dict(TASKS[0].models())
    names = {CHEAP: given.model, STRONG: given.strong_model}
    return {role: model_at(given.base_url, name) for role, name in names.items()}


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m looplet.examples.router_agent", description="Ask a kitchen helper."
    )
    parser.add_argument("question", nargs="?", default=TASKS[0].goal)
    add_model_options(parser)
    strong = setting("OPENAI_STRONG_MODEL", setting("OPENAI_MODEL", DEFAULT_MODEL))
    parser.add_argument("--strong-model", metavar="M", default=strong)
    parser.add_argument("--cassette", type=Path, metavar="FILE", help="record it, or replay it")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
