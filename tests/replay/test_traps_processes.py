"""Killed processes and processes side by side: no call is lost, no file is half."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import warnings
from contextlib import ExitStack
from pathlib import Path

import pytest

from looplet.errors import CassetteError
from looplet.replay import (
    Divergence,
    LeftoverJournal,
    fork,
    read_trajectory,
    recover,
    replay,
    use_cassette,
)
from looplet.replay.journal import Journal, journal_path, leftover, read_journal
from looplet.replay.playback import verify
from tests.replay.agents import agent, model, script
from tests.replay.killed_worker import FRUIT, LATER, record

ROOT = Path(__file__).parents[2]
SAVING = 9
"""System calls of writing a cassette: make, write, flush, sync, close, chmod, rename, and after."""


def worker(*args):
    return subprocess.run(
        [sys.executable, "-m", "tests.replay.killed_worker", *map(str, args)],
        check=False,
        timeout=60,
        cwd=ROOT,
        capture_output=True,
    )


def killed(*args):
    done = worker(*args)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def calls_in(journal):
    found = read_journal(journal)
    return [call["uri"] for call in found.calls if call["uri"] == "looplet://main/generate"]


def opened_with_warning(path, **options):
    with ExitStack() as stack:
        with pytest.warns(LeftoverJournal) as seen:
            cassette = stack.enter_context(use_cassette(path, **options))
        return cassette, str(seen[0].message)


@pytest.mark.parametrize("calls", range(1, len(FRUIT) + 1))
def test_killed_after_each_call_of_a_first_recording_all_calls_are_there(path, calls):
    killed(path, "once", "call", calls)
    cassette, said = opened_with_warning(path, record_mode="once", tools="recorded")
    assert f"the {2 * calls} calls" in said  # of the model and of the tool; steps are no calls
    assert len(cassette) == 2 * calls
    assert cassette.runtime.now() > 1_700_000_000
    result = replay(path, agent())
    assert [step.tool_call.args for step in result.trajectory.steps] == [
        {"fruit": each} for each in FRUIT[:calls]
    ]
    assert result.divergence.step == calls + 1
    assert "interrupted" in result.divergence.__notes__[0]


@pytest.mark.parametrize("mode", ["all", "new_episodes"])
@pytest.mark.parametrize("calls", range(1, len(LATER) + 1))
def test_killed_after_each_call_of_a_rerecording_old_and_new_calls_are_there(path, mode, calls):
    record(path, "once", model(script(FRUIT)), FRUIT)
    before = path.read_bytes()
    killed(path, mode, "call", calls)
    assert path.read_bytes() == before
    with pytest.warns(LeftoverJournal):
        assert replay(path, agent()).matches
    assert len(calls_in(journal_path(path))) == calls
    into = path.with_name("recovered.yaml")
    assert recover(journal_path(path), into=into) == 2 * calls
    assert [step.tool_call.args["fruit"] for step in read_trajectory(into).steps] == [
        *LATER[:calls]
    ][: len(read_trajectory(into).steps)]


@pytest.mark.parametrize("mode", ["all", "new_episodes"])
def test_what_a_killed_rerecording_left_is_moved_aside_by_the_next(path, mode):
    record(path, "once", model(script(FRUIT)), FRUIT)
    killed(path, mode, "call", 2)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        record(path, mode, model(script(LATER)), LATER)
    assert any("4 calls were moved to" in str(each.message) for each in seen)
    assert len(calls_in(path.with_name("run.yaml.journal.1"))) == 2
    assert read_trajectory(path).steps[0].tool_call.args == {"fruit": LATER[0]}
    assert not journal_path(path).exists()


@pytest.mark.parametrize("calls", range(1, len(LATER) + 1))
def test_killed_after_each_call_of_a_fork_all_calls_and_the_parent_are_there(path, calls):
    record(path, "once", model(script(FRUIT)), FRUIT)
    before = path.read_bytes()
    killed(path, "fork", "call", calls)
    child = path.with_name("run.yaml.child")
    assert path.read_bytes() == before
    cassette, _ = opened_with_warning(child, record_mode="once", tools="recorded")
    assert cassette.parent == {"sha256": use(path).content_hash, "at": 2}
    assert len(cassette) == 2 + 2 * calls
    steps = replay(child, agent()).trajectory.steps
    assert [step.tool_call.args["fruit"] for step in steps] == [FRUIT[0], *LATER[:calls]]


def use(path):
    with use_cassette(path) as cassette:
        return cassette


def test_a_fork_that_was_killed_can_be_begun_again(path):
    record(path, "once", model(script(FRUIT)), FRUIT)
    killed(path, "fork", "call", 1)
    child = path.with_name("run.yaml.child")
    with pytest.warns(LeftoverJournal, match="moved to"):
        fork(path, at=2, agent=agent(), llm=model(script(LATER)), into=child)
    assert replay(child, agent()).matches


@pytest.mark.parametrize("mode", ["all", "new_episodes"])
@pytest.mark.parametrize("point", range(1, SAVING + 1))
def test_killed_at_each_system_call_of_the_save_the_file_is_the_old_or_the_new_one(
    path, mode, point
):
    record(path, "once", model(script(FRUIT)), FRUIT)
    before = path.read_bytes()
    killed(path, mode, "save", point)
    assert len(calls_in(journal_path(path))) == len(LATER) + 1
    if point < SAVING - 1:
        assert path.read_bytes() == before
    else:
        assert path.read_bytes() != before
    assert verify(path, path.read_bytes()) == 2 * (len(FRUIT) + 1)


def test_a_save_is_all_of_these_system_calls(path):
    done = worker(path, "once", "save", SAVING + 1)
    assert done.returncode == 0, done.stderr.decode()


TOGETHER = textwrap.dedent(
    """
    import sys, time, warnings
    from pathlib import Path
    from looplet.errors import CassetteError
    from looplet.replay import use_cassette

    warnings.simplefilter("ignore")
    path, mode, name, start, slow = sys.argv[1:]

    class Model:
        model = "scripted-1"
        def generate(self, prompt, *, max_tokens=2000, system_prompt="", temperature=0.2):
            time.sleep(float(slow))
            return f"{prompt} by {name}"

    while not Path(start).exists():
        time.sleep(0.001)
    try:
        with use_cassette(path, record_mode=mode) as cassette:
            llm = cassette.wrap_llm(Model())
            llm.generate("old")
            said = [llm.generate(f"call {number}") for number in range(5)]
        print("recorded" if any(name in each for each in said) else "replayed")
    except CassetteError as error:
        print(f"{type(error).__name__}: {error}")
    """
)


def named(replies):
    """A model with the name that the processes' own has."""
    llm = model(replies)
    llm.model = "scripted-1"
    return llm


def together(path, mode, count=4, slow=0.002):
    """What several processes say that record one cassette, begun at the same time."""
    start = path.with_name("start")
    start.unlink(missing_ok=True)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", TOGETHER, str(path), mode, f"p{n}", str(start), str(slow)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(count)
    ]
    start.touch()
    said = []
    for process in running:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0, out
        said.append(out.strip())
    return said


@pytest.mark.parametrize("mode", ["once", "all", "new_episodes"])
@pytest.mark.parametrize("slow", [0.0, 0.02])
def test_processes_that_record_one_cassette_at_once_lose_nothing(path, mode, slow):
    if mode == "new_episodes":
        with use_cassette(path, record_mode="once") as cassette:
            cassette.wrap_llm(named(["old one"])).generate("old")
    said = together(path, mode, slow=slow)
    recorded = [each for each in said if each == "recorded"]
    assert recorded, said
    if mode != "all":  # which replaces what is there, one after the other
        assert len(recorded) == 1, said
    for each in said:
        assert each in {"recorded", "replayed"} or "CassetteError" in each, each
    with use_cassette(path) as cassette:
        llm = cassette.wrap_llm(None)
        llm.generate("old")
        answers = [llm.generate(f"call {number}") for number in range(5)]
    assert len({answer.split()[-1] for answer in answers}) == 1
    assert [each.name for each in path.parent.iterdir() if "journal" in each.name] == []


def test_a_cassette_replaced_by_another_process_is_not_written_over(path):
    """Both began with the same file; by the time of the second the first has new calls in it."""

    def go_on(cassette, name):
        return cassette.wrap_llm(model([name, name])).generate("new")

    with use_cassette(path, record_mode="once") as cassette:
        cassette.wrap_llm(model(["one"])).generate("old")
    done = subprocess.run([sys.executable, "-c", "import sys; sys.exit(0)"], check=True, timeout=60)
    assert done.returncode == 0
    with use_cassette(path, record_mode="new_episodes") as cassette:
        start = path.with_name("start")
        start.touch()
        out = subprocess.run(
            [sys.executable, "-c", TOGETHER, str(path), "new_episodes", "other", str(start), "0"],
            check=True, timeout=60, capture_output=True, text=True,
        ).stdout  # fmt: skip
        assert out.strip() == "recorded"
        after = path.read_bytes()
        with pytest.raises(CassetteError, match="replaced by another process"):
            go_on(cassette, "lost")
    assert path.read_bytes() == after
    assert not journal_path(path).exists()


def test_a_fork_into_what_another_process_wrote_meanwhile_is_refused(path):
    record(path, "once", model(script(FRUIT)), FRUIT)
    into = path.with_name("child.yaml")

    class Writes:
        def pre_prompt(self, state, session_log, context, step_num):
            if step_num == 1:
                into.write_text("of another process")

    with pytest.raises(CassetteError, match="is there by now"):
        fork(path, at=2, agent=agent(hooks=[Writes()]), llm=model(script(LATER)), into=into)
    assert into.read_text() == "of another process"
    assert not journal_path(into).exists()


def test_none_says_that_a_cassette_is_still_being_recorded(path):
    with use_cassette(path, record_mode="once") as cassette:
        cassette.wrap_llm(model(["one"])).generate("a")
        with pytest.raises(CassetteError, match="is being recorded now"), use_cassette(path):
            pass


def test_a_journal_that_was_taken_away_before_it_was_locked_is_not_recorded_into(path, monkeypatch):
    """Another process tidies what it takes for an empty leftover, between making and locking."""
    from looplet.replay import journal

    place, real = journal_path(path), journal._lock

    def late(file):
        place.unlink(missing_ok=True)
        return real(file)

    monkeypatch.setattr(journal, "_lock", late)
    with pytest.raises(CassetteError, match="in use"):
        Journal(place, metadata={})


def test_a_leftover_is_locked_as_long_as_it_is_dealt_with(path):
    killed(path, "once", "call", 1)
    with leftover(journal_path(path)) as found:
        assert found.count == 2
        with (
            pytest.raises(CassetteError, match="in use"),
            use_cassette(path, record_mode="once"),
        ):
            pass
    assert journal_path(path).exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_neither_records_into_its_parents_cassette_nor_closes_it(path):
    context = multiprocessing.get_context("fork")
    with use_cassette(path, record_mode="once") as cassette:
        llm = cassette.wrap_llm(model(["one", "two"]))
        llm.generate("a")
        told = context.Queue()

        def child():
            try:
                llm.generate("b")
            except CassetteError as error:
                told.put(str(error))
            cassette.close()

        process = context.Process(target=child)
        process.start()
        process.join(30)
        assert "a cassette of its own" in told.get(timeout=5)
        assert not path.exists()
        llm.generate("b")
    with use_cassette(path) as cassette:
        assert len(cassette) == 2


def test_a_divergence_in_a_recovered_cassette_tells_that_it_ends_too_early(path):
    killed(path, "once", "call", 1)
    opened_with_warning(path, record_mode="once", tools="recorded")
    with use_cassette(path) as cassette, pytest.raises(Divergence) as caught:
        cassette.wrap_llm(None).generate("more")
    assert "interrupted" in caught.value.__notes__[0]
