"""A killed recording loses no call whose reply was used."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from looplet.errors import CassetteDamaged, CassetteError
from looplet.replay import Divergence, LeftoverJournal, recover, use_cassette
from looplet.replay.journal import journal_path, leftover, read_journal

KILLED = textwrap.dedent(
    """
    import os, signal, sys
    from looplet.replay import use_cassette

    class Model:
        model = "scripted-1"
        def generate(self, prompt, *, max_tokens=2000, system_prompt="", temperature=0.2):
            return prompt.upper()

    path, mode, calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with use_cassette(path, record_mode=mode, metadata={"task": "t"}) as cassette:
        llm = cassette.wrap_llm(Model())
        for number in range(calls):
            llm.generate(f"call {number}")
        os.kill(os.getpid(), signal.SIGKILL)
    """
)


def kill_after(path, calls, mode="once"):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path), mode, str(calls)], check=False, timeout=60
    )
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("calls", [1, 3])
def test_once_makes_a_cassette_of_what_a_killed_recording_left(path, calls):
    kill_after(path, calls)
    assert not path.exists()
    with contextlib.ExitStack() as stack:
        with pytest.warns(LeftoverJournal, match=f"{calls} calls"):
            cassette = stack.enter_context(use_cassette(path, record_mode="once"))
        llm = cassette.wrap_llm(None)
        for number in range(calls):
            assert llm.generate(f"call {number}") == f"CALL {number}"
        assert cassette.metadata == {"task": "t"}
        assert llm.model == "scripted-1"
        with pytest.raises(Divergence) as caught:
            llm.generate("one more")
    assert "interrupted" in caught.value.__notes__[0]
    assert [each.name for each in path.parent.iterdir()] == ["run.yaml"]


def test_a_recording_killed_before_its_first_call_leaves_nothing_to_ask_about(path, model):
    kill_after(path, 0)
    with use_cassette(path, record_mode="once") as cassette:
        assert cassette.wrap_llm(model("one")).generate("a") == "one"
    assert [each.name for each in path.parent.iterdir()] == ["run.yaml"]


def test_none_says_what_to_do_with_a_journal_and_no_cassette(path):
    kill_after(path, 2)
    with pytest.raises(CassetteError, match="did not end"), use_cassette(path):
        pass
    assert len(read_journal(journal_path(path)).calls) == 2


def test_all_moves_an_old_journal_aside_and_records(path, model, tmp_path):
    kill_after(path, 2, mode="all")
    with (
        pytest.warns(LeftoverJournal, match="2 calls were moved"),
        use_cassette(path, record_mode="all") as cassette,
    ):
        cassette.wrap_llm(model("one")).generate("a")
    aside = path.with_name("run.yaml.journal.1")
    other = tmp_path / "recovered.yaml"
    assert recover(aside, into=other) == 2
    with use_cassette(other) as cassette:
        assert cassette.wrap_llm(None).generate("call 1") == "CALL 1"
    with pytest.raises(CassetteError, match="there already"):
        recover(aside, into=other)


def test_a_killed_rerecording_leaves_the_cassette_and_a_warning(path, model):
    with use_cassette(path, record_mode="once") as cassette:
        cassette.wrap_llm(model("one")).generate("a")
    kill_after(path, 1, mode="all")
    for mode in ("none", "once"):
        with (
            pytest.warns(LeftoverJournal, match="is not used"),
            use_cassette(path, record_mode=mode) as cassette,
        ):
            assert cassette.wrap_llm(None).generate("a") == "one"


def test_each_call_is_in_the_journal_before_its_reply_is_used(path, model):
    with use_cassette(path, record_mode="once") as cassette:
        llm = cassette.wrap_llm(model("one", "two"))
        for number, prompt in enumerate(["a", "b"], 1):
            llm.generate(prompt)
            assert len(read_journal(journal_path(path)).calls) == number
    assert not journal_path(path).exists()


def test_a_last_line_cut_short_is_left_out_at_every_length(path, tmp_path):
    kill_after(path, 2)
    whole = journal_path(path).read_bytes()
    cut = tmp_path / "cut.journal"
    for length in range(len(whole)):
        cut.write_bytes(whole[:length])
        assert len(read_journal(cut).calls) == max(0, whole[:length].count(b"\n") - 2)


def test_a_broken_line_before_the_last_is_damage(path):
    kill_after(path, 2)
    lines = journal_path(path).read_text().splitlines()
    journal_path(path).write_text("\n".join([lines[0], lines[1][:-5], *lines[2:]]) + "\n")
    with pytest.raises(CassetteDamaged, match="line 2"), use_cassette(path, record_mode="once"):
        pass


def test_a_recording_that_could_not_begin_can_be_tried_again(path, model):
    journal_path(path).write_text('{"looplet_journal": 9, "metadata": {}}\n')
    with pytest.raises(CassetteError, match="version 9"), use_cassette(path, record_mode="all"):
        pass
    journal_path(path).unlink()
    with use_cassette(path, record_mode="all") as cassette:
        assert cassette.wrap_llm(model("one")).generate("a") == "one"


def test_the_warning_points_to_the_users_line(path, model):
    kill_after(path, 1)
    with pytest.warns(LeftoverJournal) as seen, use_cassette(path, record_mode="once"):
        pass
    assert [each.filename for each in seen] == [__file__]


def test_an_unknown_version_is_refused_by_name(tmp_path):
    path = tmp_path / "x.journal"
    path.write_text(json.dumps({"looplet_journal": 9, "metadata": {}}) + "\n")
    with pytest.raises(CassetteError, match="version 9"):
        read_journal(path)


def test_a_journal_that_is_being_written_is_not_taken(path):
    program = KILLED.replace(
        "os.kill(os.getpid(), signal.SIGKILL)", "print('ready', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path), "once", "1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        for mode in ("once", "all"):
            with (
                pytest.raises(CassetteError, match="recorded already"),
                use_cassette(path, record_mode=mode),
            ):
                pass
        running.communicate("\n")
    assert running.returncode == 0
    with use_cassette(path) as cassette:
        assert cassette.wrap_llm(None).generate("call 0") == "CALL 0"


def test_a_journal_without_calls_is_tidied_away(tmp_path):
    path = tmp_path / "x.journal"
    path.write_text('{"looplet_journal":1,"meta')
    with leftover(path) as found:
        assert found is None
    assert not path.exists()


def test_a_failed_write_is_loud_and_leaves_what_was_written(path, model, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    with use_cassette(path, record_mode="once") as cassette:
        llm = cassette.wrap_llm(model("one", "two", "three"))
        assert llm.generate("a") == "one"
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(OSError, match="No space"):
                llm.generate("b")
        with pytest.raises(CassetteError, match="could not be written"):
            llm.generate("c")
    with use_cassette(path) as cassette:
        assert cassette.wrap_llm(None).generate("a") == "one"
        assert len(cassette) == 1
