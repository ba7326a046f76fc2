"""``looplet blueprint, export-code, package, wrap-claude-skill``: a bundle in another form."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from looplet.cli.bundles import add_runtime
from looplet.cli.parsing import Commands
from looplet.cli.saying import say, say_json
from looplet.errors import LoopletError, SkillError


def add_to(commands: Commands) -> None:
    """Add the commands."""
    parser = commands.add_parser(
        "blueprint",
        help="what a bundle's agent consists of",
        description="What a bundle's agent consists of, as JSON.",
        examples=["looplet blueprint ./skills/grocer --workspace ."],
    )
    parser.set_defaults(command=blueprint)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    add_runtime(parser)

    parser = commands.add_parser(
        "export-code",
        help="a bundle as a Python module",
        examples=["looplet export-code ./skills/grocer grocer_agent.py"],
    )
    parser.set_defaults(command=export_code)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("file", type=Path, metavar="FILE", help="the module to write")
    parser.add_argument("--function-name", default="build", metavar="NAME", help="default: build")

    parser = commands.add_parser(
        "package",
        help="a function that builds an agent, as a bundle",
        examples=[
            'looplet package grocer_agent:build ./grocer-2 --name grocer-2 --description "Prices."'
        ],
    )
    parser.set_defaults(command=package)
    parser.add_argument("factory", metavar="MODULE:ATTR")
    parser.add_argument("dir", type=Path, metavar="DIR", help="the folder to write")
    parser.add_argument("--name", required=True)
    parser.add_argument("--description", required=True)
    parser.add_argument("--tag", action="append", default=[], metavar="T", help="may be repeated")
    parser.add_argument("--force", action="store_true", help="replace files that are there")

    parser = commands.add_parser(
        "wrap-claude-skill",
        help="a folder with SKILL.md, as a bundle",
        examples=["looplet wrap-claude-skill ./claude-skills/invoices ./skills/invoices"],
    )
    parser.set_defaults(command=wrap)
    parser.add_argument("src", type=Path, metavar="SRC")
    parser.add_argument("dir", type=Path, metavar="DIR", help="the folder to make")


def blueprint(given: argparse.Namespace) -> int:
    """Print the blueprint as JSON."""
    from looplet.skills import SkillRuntime, blueprint_from_bundle

    runtime = SkillRuntime(workspace=given.workspace, max_steps=given.max_steps)
    with _telling(given.bundle):
        found = blueprint_from_bundle(given.bundle, runtime)
    say_json(found.to_dict())
    return 0


def export_code(given: argparse.Namespace) -> int:
    """Write the module."""
    from looplet.skills import export_bundle_to_library_code

    with _telling(given.bundle):
        path = export_bundle_to_library_code(
            given.bundle, given.file, function_name=given.function_name
        )
    say(f"exported {given.bundle} -> {path}")
    return 0


def package(given: argparse.Namespace) -> int:
    """Write the bundle."""
    from looplet.skills import package_agent_factory_as_bundle

    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    root = package_agent_factory_as_bundle(
        given.factory,
        given.dir,
        name=given.name,
        description=given.description,
        tags=given.tag,
        overwrite=given.force,
    )
    say(f"packaged {given.factory} -> {root}")
    return 0


def wrap(given: argparse.Namespace) -> int:
    """Copy the skill, and say what of it will not work."""
    from looplet.skills import claude_skill_compatibility, wrap_claude_skill_as_bundle

    found = claude_skill_compatibility(given.src)
    wrap_claude_skill_as_bundle(given.src, given.dir)
    say(f"wrapped {given.src} -> {given.dir}\ncompatibility: {found.level}")
    for warning in found.warnings:
        say(f"warning: {warning}")
    return 0


@contextmanager
def _telling(bundle: Path) -> Iterator[None]:
    """Let what a bundle's own code raises be one line."""
    try:
        yield
    except (LoopletError, OSError):
        raise
    except (Exception, SystemExit) as error:
        told = f"{type(error).__name__}: {error}"
        raise SkillError(f"{bundle} cannot be loaded: {told}") from error
