"""``looplet run``, ``list-bundles``, and bundles in ``record`` and ``replay``."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from looplet.provenance import read_trace
from tests.bundles import GROCER
from tests.servers import Answer, completion

PEAR = '{"tool": "price", "args": {"fruit": "pear"}}'
DONE = '{"tool": "done", "args": {"summary": "priced"}}'
PLUM = '{"tool": "price", "args": {"fruit": "plum"}}'
SCRIPTED = GROCER + f"\ndef scripted_responses():\n    yield {PEAR!r}\n    yield {DONE!r}\n"


@pytest.fixture
def model(server, monkeypatch):
    """The environment's model, on loopback."""
    for name, value in {
        "OPENAI_BASE_URL": server.url,
        "OPENAI_API_KEY": "x",
        "OPENAI_MODEL": "small",
    }.items():
        monkeypatch.setenv(name, value)
    return server


def native(name, **args):
    return completion(None, calls=[("c1", name, json.dumps(args))], finish_reason="tool_calls")


def test_a_bundle_runs_with_native_tools_where_the_probe_finds_them(looplet, make_bundle, model):
    model.says(native("test_probe", value="x"), native("price", fruit="pear"),
               native("done", summary="priced"))  # fmt: skip
    said = looplet("run", str(make_bundle()), "Price the whole stock", "--workspace", ".")

    assert (said.status, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[:4] == [
        "Task: Price the whole stock",
        f"Workspace: {Path.cwd()}",
        f"Model: small at {model.url}",
        "Tool protocol: native",
    ]
    assert lines[4].startswith("Probe: ")
    assert lines[5:7] == ["#1 price ok", "#2 done ok"]
    trace = Path(lines[7].removeprefix("Trace: "))
    assert re.fullmatch(r"\.looplet/traces/grocer-[0-9a-f]{12}", trace.as_posix())
    assert read_trace(trace).final_output == {"summary": "priced"}
    assert model.bodies[1]["tools"]


def test_a_bundle_runs_in_text_where_the_probe_finds_no_tools(looplet, make_bundle, model):
    model.says(completion("no"), completion(PLUM), completion(DONE))
    said = looplet("run", str(make_bundle()), "Price it", "--no-trace")
    lines = said.out.splitlines()
    assert (said.status, lines[3]) == (0, "Tool protocol: text")
    assert lines[5].startswith("#1 price ERROR KeyError")
    assert not Path(".looplet").exists()


def test_no_secret_of_the_models_address_is_said(looplet, make_bundle, model, monkeypatch):
    host = model.url.removeprefix("http://")
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://ann:p@ss-9@{host}?key=k3y-9")
    model.says(*[Answer(status=401, body={"error": {"message": "no"}})] * 2)
    said = looplet("run", str(make_bundle()), "Price it")
    assert said.status == 1
    assert f"Model: small at {model.url}\n" in said.out
    for text in (said.out, said.err, *(path.read_text() for path in Path(".looplet").rglob("*.*")
                                       if path.is_file())):  # fmt: skip
        assert "ss-9" not in text
        assert "k3y-9" not in text


def test_a_model_that_refuses_is_one_line(looplet, make_bundle, model):
    model.says(*[Answer(status=401, body={"error": {"message": "no key"}})] * 2)
    said = looplet("run", str(make_bundle()), "Price it")
    assert said.status == 1
    assert said.err.startswith("error: LLM call failed after all retry attempts")
    assert said.err.count("\n") == 1


def test_a_bundle_runs_by_its_script_without_a_model(looplet, make_bundle):
    root = make_bundle(
        looplet=SCRIPTED
        + "\ndef render_step(step):\n    return None if step.number > 1 else '1\x1b'"
    )
    said = looplet("run", str(root), "x", "--scripted", "--trace-dir", "kept")
    assert (said.status, said.err) == (0, "")
    assert said.out.splitlines()[2:] == [
        "Model: scripted, 2 replies", "Tool protocol: text", "Probe: not asked",
        r"1\x1b", "Trace: kept",
    ]  # fmt: skip
    said = looplet("run", str(root), "x", "--scripted-response", PEAR, "--max-steps", "1")
    assert said.status == 1
    assert said.err == "error: the run ended after step 1 and was not done\n"


def test_a_rejected_done_is_told_with_its_reason(looplet, make_bundle):
    bare = '{"tool": "done", "args": {}}'
    said = looplet(
        "run", str(make_bundle()), "x", "--no-trace",
        "--scripted-response", bare, "--scripted-response", DONE,
    )  # fmt: skip
    rejected, accepted = (line for line in said.out.splitlines() if line.startswith("#"))
    assert rejected.startswith("#1 done ERROR rejected: ")
    assert "summary" in rejected
    assert accepted == "#2 done ok"


OWN = (
    "\ndef run(*, task, workspace, max_steps, scripted, scripted_responses, require_tests,"
    " trace_dir, provenance):\n"
    "    print(task, workspace, max_steps, scripted, scripted_responses, require_tests,"
    " provenance)\n    return "
)


def test_a_bundle_with_a_run_of_its_own_gives_the_exit_status(looplet, make_bundle):
    root = make_bundle(looplet=SCRIPTED + OWN + "3")
    said = looplet("run", str(root), "x", "--no-tests", "--no-trace")
    assert (said.status, said.out, said.err) == (3, "x . 20 False None False False\n", "")
    said = looplet("run", str(root), "x", "--scripted")
    assert said.out == f"x . 20 True {[PEAR, DONE]} True True\n"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (GROCER + OWN + "True", "TypeError: run gave True"),
        (GROCER + OWN + "None", "TypeError: run gave None"),
        (GROCER + OWN + "1 / 0", "ZeroDivisionError: division by zero"),
        (GROCER + OWN + "exit('no')", "SystemExit: no"),
        (SCRIPTED + "\ndef render_step(step):\n    1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_what_a_bundle_raises_is_told_without_a_traceback(looplet, make_bundle, code, told):
    said = looplet("run", str(make_bundle(looplet=code)), "x", "--scripted-response", DONE)
    assert said.status == 1
    first, second = said.err.splitlines()
    assert first == "error: bundle 'grocer' failed while running"
    assert second.startswith(f"  - {told}")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("", "has no scripted_responses()"),
        ("def scripted_responses(): return []", "one at least"),
        ("def scripted_responses(): return 'one'", "one at least"),
        ("def scripted_responses(): return ['a', ' ']", "none of them blank"),
        ("def scripted_responses(): return None", "one at least"),
        ("def scripted_responses(): return [1]", "one at least"),
    ],
)
def test_a_script_that_is_none_is_refused(looplet, make_bundle, source, told):
    said = looplet("run", str(make_bundle(looplet=f"{GROCER}\n{source}")), "x", "--scripted")
    assert said.status == 1
    assert told in said.err


def test_a_bundle_is_validated_before_anything_of_it_is_used(looplet, make_bundle):
    code = "def build(r): return 1\ndef scripted_responses(): print('asked')\n"
    root = str(make_bundle(looplet=code))
    said = looplet("run", root, "x", "--scripted")
    assert (said.status, said.out) == (1, "")
    assert said.err.startswith("error: bundle 'grocer' is not valid\n  - NoAgent: build of")
    assert looplet("run", "absent", "x").err.startswith("error: absent cannot be loaded\n  - there")
    broken = str(make_bundle("broken", looplet="import absent_module"))
    assert "  - ModuleNotFoundError" in looplet("run", broken, "x").err
    assert "no folder nowhere" in looplet("run", root, "x", "-w", "nowhere").err


def test_bundles_are_listed_and_none_is_imported(looplet, make_bundle):
    skills = make_bundle("b\tx", where="b", looplet="raise SystemExit('imported')").parent
    make_bundle("a")
    make_bundle("plain", looplet=None)
    said = looplet("list-bundles", str(skills))
    assert said.status == 0
    assert said.out.splitlines() == [
        f"a\tok\t{skills / 'a'}\tPrices fruit.",
        f"b\\tx\tok\t{skills / 'b'}\tPrices fruit.",
    ]
    lines = looplet("list-bundles", str(skills), "--include-invalid").out.splitlines()
    assert lines[2].startswith(f"plain\tinvalid\t{skills / 'plain'}\tthe bundle in")
    cards = json.loads(looplet("list-bundles", str(skills), "--json").out)
    assert [(card["name"], card["ok"]) for card in cards] == [("a", True), ("b\tx", True)]
    assert looplet("list-bundles", "absent").err == (
        "error: there is no folder absent to look for skills in\n"
    )


def test_a_bundle_is_recorded_and_replayed(looplet, make_bundle, model):
    root = str(make_bundle())
    model.says(completion(PEAR), completion(DONE))
    options = ("--max-steps", "5")
    said = looplet("record", root, "--cassette", "run.yaml", "--task", "Price it", *options)
    assert (said.status, said.err) == (0, "run.yaml: 4 calls, 1 run (done)\n")
    asked = len(model.bodies)
    said = looplet("replay", "run.yaml", "--agent", root, *options)
    assert (said.status, said.out) == (0, "run.yaml: equal (2 steps, done)\n")
    assert looplet("replay", "run.yaml", "--agent", root, "--max-steps", "6").status == 1
    assert len(model.bodies) == asked
