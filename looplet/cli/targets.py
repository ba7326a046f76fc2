"""What a user names to be run: a script, or a function that builds an agent. Knows no cassette."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import runpy
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from looplet.errors import CassetteError, LoopletError

WORKS = (
    "give an agent, module:build or path/to/file.py:build, a bundle's folder, or a script, "
    "path/to/script.py"
)


class ScriptEnded(Exception):
    """A script ended with a status other than 0; what it has to say was said."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the script ended with exit status {status}")
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A file that starts loops itself."""

    path: Path
    name: str
    """As the user named it."""

    def run(self, arguments: Sequence[str]) -> None:
        """Run it as Python runs a script, with these arguments. Raises ``ScriptEnded``.

        An exception of the script's own is printed as Python prints it.
        """
        with _as_main(self.path, arguments):
            try:
                runpy.run_path(str(self.path), run_name="__main__")
            except SystemExit as end:
                _end(end.code)
            except LoopletError:
                raise
            except Exception as error:
                print("".join(self._traceback(error)), end="", file=sys.stderr)
                raise ScriptEnded(1) from error

    def _traceback(self, error: Exception) -> list[str]:
        """The exception with the frames from the script on: those before are ours."""
        frame = error.__traceback__
        while frame is not None and Path(frame.tb_frame.f_code.co_filename) != self.path:
            frame = frame.tb_next
        return traceback.format_exception(type(error), error, frame)


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A function that gives an agent."""

    name: str
    function: Any
    """It, or an agent that was built already."""

    def agent(self) -> Any:
        """The agent, as ``looplet.replay`` takes it. Raises ``CassetteError``."""
        from looplet.replay import agent_of

        try:
            return agent_of(self.function() if callable(self.function) else self.function)
        except LoopletError:
            raise
        except Exception as error:
            raise failed(self.name, error) from error


def target_of(text: str, *, workspace: Path, max_steps: int) -> Script | Build:
    """What a user named; a bundle is told where it works and for how many steps.

    Raises ``CassetteError`` with what to name instead.
    """
    path = Path(text)
    if is_bundle(text):
        return Build(name=text, function=lambda: _preset(path, workspace, max_steps))
    if path.is_dir():
        raise CassetteError(f"{text} is a directory without a SKILL.md; {WORKS}")
    if path.suffix == ".py":
        if not path.is_file():
            raise CassetteError(f"there is no script {text}; {WORKS}")
        return Script(path=path.absolute(), name=text)
    where, colon, attribute = text.rpartition(":")
    if not colon or not where or not attribute:
        raise CassetteError(f"{text} names no agent; {WORKS}")
    return Build(name=text, function=_attribute(_module(where), attribute, text))


def is_bundle(text: str) -> bool:
    """Whether it is a bundle's folder, or a ``SKILL.md``."""
    path = Path(text)
    return path.name == "SKILL.md" or (path / "SKILL.md").exists()


def _preset(path: Path, workspace: Path, max_steps: int) -> Any:
    from looplet.skills import SkillRuntime, load_skill_bundle

    runtime = SkillRuntime(workspace=workspace, max_steps=max_steps)
    return load_skill_bundle(path).build_preset(runtime)


def failed(name: str, error: BaseException) -> CassetteError:
    """The error that says what somebody's own code raised, in one line, and where.

    >>> try:
    ...     raise KeyError("OPENAI_API_KEY")
    ... except KeyError as error:
    ...     str(failed("agent:build", error)).split(" (")[0]
    "agent:build failed: KeyError: 'OPENAI_API_KEY'"
    """
    said = f"{type(error).__name__}: {error}"
    where = ""
    if isinstance(error, SyntaxError):
        said, where = f"SyntaxError: {error.msg}", f" ({error.filename}, line {error.lineno})"
    elif error.__traceback__ is not None:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f" ({frame.filename}, line {frame.lineno})"
    told = CassetteError(f"{name} failed: {said}{where}")
    for note in getattr(error, "__notes__", ()):
        told.add_note(note)
    return told


def check_file(path: Path) -> None:
    """Raise ``CassetteError`` for a directory where a cassette's file is meant."""
    if path.is_dir():
        raise CassetteError(f"{path} is a directory; name the cassette's file")


def _module(where: str) -> ModuleType:
    path = Path(where)
    if path.suffix == ".py" and not path.is_file():
        raise CassetteError(f"there is no file {where}; {WORKS}")
    try:
        return _from_file(path) if path.suffix == ".py" else importlib.import_module(where)
    except LoopletError:
        raise
    except Exception as error:
        raise failed(f"the import of {where}", error) from error


def _from_file(path: Path) -> ModuleType:
    """The module in a file, which finds its neighbours as a script does."""
    folder = str(path.absolute().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    # A module of that name may be there already; one that is not must be found by its name later.
    name = path.stem if path.stem not in sys.modules else f"looplet_agent_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.absolute())
    if spec is None or spec.loader is None:
        raise CassetteError(f"{path} cannot be imported; {WORKS}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _attribute(module: ModuleType, name: str, text: str) -> Any:
    found = getattr(module, name, None)
    if found is not None:
        return found
    names = [each for each in vars(module) if not each.startswith("_")]
    near = difflib.get_close_matches(name, names, 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise CassetteError(f"{text} names no agent: the module has no {name}{hint}")


def _end(code: object) -> None:
    """What ``sys.exit`` was given, as a status."""
    if code is None or code == 0:
        return
    if isinstance(code, int):
        raise ScriptEnded(code)
    print(code, file=sys.stderr)
    raise ScriptEnded(1)


@contextmanager
def _as_main(path: Path, arguments: Sequence[str]) -> Iterator[None]:
    """Arguments and import path as a script has them."""
    argv, places = sys.argv, sys.path
    sys.argv, sys.path = [str(path), *arguments], [str(path.parent), *places]
    try:
        yield
    finally:
        sys.argv, sys.path = argv, places
