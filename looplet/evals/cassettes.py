"""A test's cassette: which file it is, how it is opened, and what becomes of it in the end.

Loaded when a test first asks for its cassette. Knows pytest and ``use_cassette``; knows nothing of
what is recorded.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from looplet.core.codec import digest
from looplet.errors import CassetteError, CassetteMissing
from looplet.replay import Cassette, Divergence, use_cassette

MARK = "looplet_cassette"
OPTIONS = ("record_mode", "tools", "redact", "metadata")
"""What a mark takes beside the path, and ``looplet_cassette_config`` may hold."""
RE_RECORDING = ("all", "rewrite")
"""Record modes in which a second test would replace what the first has recorded."""
LONGEST = 150
"""Bytes of a file's name, which leave room for what is put behind it."""

_UNSAFE = re.compile(r"[^\w.,+=@\[\]-]")
_HOOKS = "looplet-cassettes"
_OPENED = pytest.StashKey["OpenedCassette"]()


class CassetteWarning(UserWarning):
    """A test passed, but did not replay its cassette as it was recorded."""


class OpenedCassette:
    """The cassette of a test that is running. Ends once, with what the test came to."""

    def __init__(
        self, item: pytest.Item, manager: AbstractContextManager[Cassette], cassette: Cassette
    ) -> None:
        self.cassette = cassette
        self.in_teardown = False
        """Whether the test is over, so that the hook around its teardown closes the cassette."""
        self.error: BaseException | None = None
        """What the test failed with, was skipped by, or was expected to fail with."""
        self.unplayed: tuple[str, str] | None = None
        """The cassette's path and how much of it was left, for the summary."""
        self._item, self._manager = item, manager

    def close(self, error: BaseException | None) -> None:
        """Leave the cassette's block, with what went wrong; what it says of that is shown."""
        before = len(getattr(error, "__notes__", ()))
        if error is None:
            self._manager.__exit__(None, None, None)
        else:
            self._manager.__exit__(type(error), error, error.__traceback__)
        self._show([*getattr(error, "__notes__", ())[before:]])

    def break_off(self) -> None:
        """Close the cassette of a test whose run ends before the test does."""
        if not self.in_teardown:
            self.close(CassetteError(f"{self._item.nodeid} was broken off"))

    def report(self) -> None:
        """Tell what the test left unplayed, and a divergence that did not end it.

        Warns, if the test was good so far; else it is shown with the failure alone.
        """
        __tracebackhide__ = True
        cassette = self.cassette
        left = f"{cassette.unplayed} of {cassette.played + cassette.unplayed} recordings"
        if self.error is not None:
            self._show([f"{left} were not played"] if cassette.unplayed else [])
            return
        if cassette.unplayed:
            self.unplayed = (self._path, f"{left} not played by {self._item.nodeid}")
        if cassette.divergence is not None:
            first = str(cassette.divergence).split("\n", 1)[0]
            self._item.warn(CassetteWarning(f"the test passed in spite of a divergence: {first}"))
        if cassette.unplayed:
            self._item.warn(CassetteWarning(f"{self._path}: {left} were not played"))

    def explain(self, error: BaseException) -> None:
        """Add to a divergence what to type."""
        if isinstance(error, Divergence):
            error.add_note(f"Under pytest: {_command(self._item, 'all')}")

    @property
    def _path(self) -> str:
        return below_root(self.cassette.path, self._item.config)

    def _show(self, lines: Iterable[str]) -> None:
        self._item.add_report_section("teardown", "looplet cassette", "\n".join(lines))


class CassetteHooks:
    """Carries what a test came to from its reports to its cassette. Lives for one run of pytest."""

    def __init__(self) -> None:
        self._own: dict[str, str] = {}
        """Which test has the file of that name for its own; names are compared without case."""
        self._recorded: dict[str, str] = {}
        """Which test recorded a file anew."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note what a test failed with; its last report takes along what was not played."""
        opened = item.stash.get(_OPENED, None)
        if opened is None:
            return (yield)
        error = call.excinfo.value if call.excinfo else None
        if error is not None:
            opened.explain(error)
        report = yield
        if call.when == "teardown":
            report.looplet_unplayed = opened.unplayed  # type: ignore[attr-defined]
            del item.stash[_OPENED]  # the error holds every frame of the test
        elif not report.passed and opened.error is None:
            untold = pytest.fail.Exception(report.longreprtext)
            opened.error = untold if error is None else error
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        """Close the test's cassette when all else is torn down, so that an error there counts."""
        opened = item.stash.get(_OPENED, None)
        if opened is None:
            return (yield)
        __tracebackhide__ = True
        opened.in_teardown = True
        try:
            result = yield
        except BaseException as error:
            opened.close(error if opened.error is None else opened.error)
            raise
        opened.close(opened.error)
        opened.report()
        return result

    def claim(self, path: Path, test: str, *, is_own: bool, mode: str) -> None:
        """Refuse a file that another test of this run has, if that cannot be meant."""
        key = str(path.resolve()).casefold()
        other = self._own.setdefault(key, test) if is_own else test
        if other != test:
            raise CassetteError(
                f"{test} would share the cassette {path} with {other}: give one of them a name "
                'of its own, @pytest.mark.looplet_cassette("name.yaml")'
            )
        if mode not in RE_RECORDING:
            return
        other = self._recorded.setdefault(key, test)
        if other != test:
            raise CassetteError(
                f"{test} would replace the cassette {path}, which {other} has just recorded: "
                "give each test a cassette of its own to record them anew"
            )


def open_cassette(
    item: pytest.Function, defaults: Mapping[str, Any], *, taken: Path | None = None
) -> OpenedCassette:
    """Open the cassette of a test, as the command line, its marks and ``defaults`` say.

    ``taken`` is the file in which another plugin keeps what it records of the test.

    Raises ``CassetteError`` for what they cannot mean, and what ``use_cassette`` raises.
    """
    __tracebackhide__ = True
    try:
        return _open(item, defaults, taken)
    except CassetteError as error:
        raise error.with_traceback(None)  # noqa: B904 - it is the same error, told in its words alone


def _open(item: pytest.Function, defaults: Mapping[str, Any], taken: Path | None) -> OpenedCassette:
    options = _options(item, defaults)
    named = options.pop("path", None)
    mode, source = _record_mode(item.config, options)
    path = path_of(item) if named is None else _folder(item) / named
    if taken is not None and path.resolve() == taken.resolve():
        raise CassetteError(
            f"{item.nodeid} is marked with vcr, and keeps what that records in {path} too: give "
            'looplet\'s cassette a name of its own, @pytest.mark.looplet_cassette("name.yaml")'
        )
    _hooks(item.config).claim(path, item.nodeid, is_own=named is None, mode=mode)
    manager = use_cassette(path, **{**options, "record_mode": mode})
    try:
        cassette = manager.__enter__()
    except CassetteMissing as error:
        error.add_note(f"Under pytest: {_command(item, 'once')}")
        error.add_note(f"The record mode {mode!r} is from {source}.")
        raise
    opened = item.stash[_OPENED] = OpenedCassette(item, manager, cassette)
    return opened


def vcr_file(request: pytest.FixtureRequest) -> Path | None:
    """Where pytest-recording or pytest-vcr keeps what it records of a test, if it does."""
    if request.node.get_closest_marker("vcr") is None:
        return None
    for name in ("default_cassette_name", "vcr_cassette_name"):
        try:
            stem = request.getfixturevalue(name)
        except pytest.FixtureLookupError:
            continue
        return Path(request.getfixturevalue("vcr_cassette_dir"), f"{stem}.yaml")
    return None


def path_of(item: pytest.Function) -> Path:
    """A test's own file: ``cassettes/<module>/<class>.<test>.yaml`` beside the module."""
    classes = [node.name for node in item.listchain() if isinstance(node, pytest.Class)]
    return _folder(item) / file_name(classes, item.name)


def file_name(classes: Sequence[str], test: str) -> str:
    """A name that every file system takes, and that no other test of the module has.

    A hash of the whole is put behind what had to be changed, and behind parameters that some file
    systems would take for others, as they do not tell upper case from lower.

    >>> file_name(["TestShop"], "test_price[pear-2]")
    'TestShop.test_price[pear-2].yaml'
    >>> file_name([], "test_price[a/b]"), file_name([], "test_price[B]")
    ('test_price[a-b]-dbe6ff34.yaml', 'test_price[B]-a694a7e4.yaml')
    """
    name = ".".join((*classes, test))
    safe = _UNSAFE.sub("-", name).encode()[:LONGEST].decode(errors="ignore")
    parameters = test.partition("[")[2]
    if safe != name or not parameters.isascii() or parameters != parameters.lower():
        safe = f"{safe}-{digest(name)[:8]}"
    return f"{safe}.yaml"


def _folder(item: pytest.Function) -> Path:
    return item.path.parent / "cassettes" / item.path.stem


def _options(item: pytest.Function, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """What is given for a test, the nearest mark's before those of its class and module."""
    options = checked(defaults)
    for mark in reversed([*item.iter_markers(MARK)]):
        options.update(_given(mark))
    return options


def checked(config: Mapping[str, Any]) -> dict[str, Any]:
    """What ``looplet_cassette_config`` gives. Raises ``CassetteError`` for what is no option."""
    unknown = [name for name in config if name not in OPTIONS]
    if unknown:
        raise CassetteError(f"looplet_cassette_config has {unknown[0]!r}; {_known(OPTIONS)}")
    return dict(config)


def below_root(path: str | Path, config: pytest.Config) -> str:
    """A path as it is written below the root directory, if it lies there."""
    path, root = Path(path), config.rootpath
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _given(mark: pytest.Mark) -> dict[str, Any]:
    names = ("path", *OPTIONS)
    given = {**dict(zip(names[:1], mark.args, strict=False)), **mark.kwargs}
    unknown = [name for name in given if name not in names]
    if unknown:
        raise CassetteError(f"{MARK} was given {unknown[0]!r}; {_known(names)}")
    if len(mark.args) + ("path" in mark.kwargs) > 1:
        raise CassetteError(f"{MARK} takes one path")
    path = given.get("path", "name.yaml")
    if not isinstance(path, str | os.PathLike) or not Path(path).name:
        raise CassetteError(f"{MARK}: {path!r} is no path of a file")
    return given


def _known(names: Iterable[str]) -> str:
    return f"what there is: {', '.join(names)}"


def _record_mode(config: pytest.Config, options: Mapping[str, Any]) -> tuple[str, str]:
    """The record mode, and where it comes from."""
    asked: str | None = config.getoption("looplet_record")
    if asked is not None:
        return asked, "--looplet-record"
    if "record_mode" in options:
        return options["record_mode"], "the test's mark or looplet_cassette_config"
    if os.environ.get("CI"):
        return "none", "the environment variable CI"
    return "once", "the default"


def _command(item: pytest.Item, mode: str) -> str:
    return f"pytest {shlex.quote(item.nodeid)} --looplet-record={mode}"


def _hooks(config: pytest.Config) -> CassetteHooks:
    manager = config.pluginmanager
    if not manager.hasplugin(_HOOKS):
        manager.register(CassetteHooks(), _HOOKS)
    hooks: CassetteHooks = manager.getplugin(_HOOKS)
    return hooks
