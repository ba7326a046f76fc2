"""Agents that pytest runs to score them: recorded once, replayed, each run made once."""

from __future__ import annotations

import re
import shlex

import pytest
import vcr.cassette  # noqa: F401 - loaded here, so that runs inside this process find it loaded
import yaml  # noqa: F401

from looplet.trajectory.store import TrajectoryStore

CONFTEST = """
    import pytest
    from looplet import LoopConfig, MockLLMBackend, tool, tools_from
    from looplet.evals import EvalCase

    PROMPT = "You sell fruit."
    EURO = 2.0

    def note(text):
        with open("notes.txt", "a") as file:
            print(text, file=file)

    @tool
    def price(fruit: str) -> dict:
        "Price of one piece of fruit, in euro."
        note(f"tool {fruit}")
        return {"euro": EURO}

    def replies(euro):
        done = f'{{"tool": "done", "args": {{"euro": {euro}}}}}'
        return ['{"tool": "price", "args": {"fruit": "pear"}}', done]

    class Live(MockLLMBackend):
        def generate(self, prompt, *, max_tokens=2000, system_prompt="", temperature=0.2):
            note("model")
            return super().generate(prompt)

    def pytest_looplet_cases():
        return [
            EvalCase("pears", {"goal": "Price of pears"}, {"euro": 2.0}, marks=["smoke"]),
            EvalCase("plums", {"goal": "Price of plums"}, {"euro": 3.0}, notes="dear"),
        ]

    @pytest.fixture(scope="session")
    def looplet_cassette_config():
        return {"metadata": {"agent": "grocer"}}

    @pytest.fixture(scope="session")
    def agent():
        def make(case, trial, live):
            note(f"made {case.id}-{trial}")
            return {
                "tools": tools_from([price], include_done=True, done_parameters={"euro": "float"}),
                "config": LoopConfig(max_steps=3, system_prompt=PROMPT),
                "llm": Live(replies(1.0 + trial)) if live else None,
            }
        return make
"""
PRICE = "evals/eval_price.py::eval_right_price"
USED = ("--looplet-cassettes", "fixtures")
LABELS = ["pears-1", "pears-2", "plums-1", "plums-2"]


def score(shop, *args, **options):
    return shop.runpytest_inprocess("evals", *USED, "-p", "no:cacheprovider", *args, **options)


def record(shop, *args):
    return score(shop, "--looplet-trials=2", "--looplet-record=once", *args)


def noted(shop):
    """What the agent's parts noted since the last look."""
    place = shop.path / "notes.txt"
    lines = place.read_text().splitlines() if place.exists() else []
    place.unlink(missing_ok=True)
    return lines


def files(shop):
    return sorted(path.name for path in (shop.path / "fixtures").iterdir())


def change(shop, old, new):
    place = shop.path / "conftest.py"
    text = place.read_text()
    assert old in text
    place.write_text(text.replace(old, new))


def stored(shop):
    store = TrajectoryStore(shop.path / "out")
    return list(store), list(store.scores())


def verdicts(shop):
    runs, scores = stored(shop)
    labels = {run.trajectory_id: f"{run.task_id}-{run.trial}" for run in runs}
    return {
        (row["eval_name"], labels.get(row["trajectory_id"])): (row["passed"], row["score"])
        for row in scores
    }


@pytest.fixture
def shop(pytester, write):
    """A project with an agent of whose four runs two are right; nothing is recorded."""
    pytester.makeconftest(CONFTEST)
    write(
        """
        from looplet import eval_mark

        @eval_mark("verdict")
        def eval_right_price(ctx):
            return ctx.final_output["euro"] == ctx.expected["euro"]

        def eval_ended_by_itself(ctx):
            return ctx.completed
        """
    )
    return pytester


@pytest.fixture
def recorded(shop):
    record(shop)
    noted(shop)
    return shop


# Recording and replaying


def test_runs_are_recorded_once_and_then_replayed_each_made_once(shop):
    result = record(shop)
    result.assert_outcomes(passed=6, failed=2)
    result.stdout.fnmatch_lines(["runs: 4 recorded"])
    assert files(shop) == [f"{label}.yaml" for label in LABELS]
    run = ["model", "tool pear", "model"]
    assert noted(shop) == [line for label in LABELS for line in (f"made {label}", *run)]
    result = score(shop)
    result.assert_outcomes(passed=6, failed=2)
    result.stdout.fnmatch_lines(
        ["eval_right_price      4       2  0.50*", "runs: 4 replayed", f"FAILED {PRICE}?pears-2?*"]
    )
    assert noted(shop) == [line for label in LABELS for line in (f"made {label}", "tool pear")]


def test_items_are_known_before_anything_is_run(recorded):
    result = score(recorded, "--collect-only", "-q")
    assert [line for line in result.outlines if "::" in line] == [
        f"evals/eval_price.py::{name}[{label}]"
        for name in ("eval_right_price", "eval_ended_by_itself")
        for label in LABELS
    ]
    assert noted(recorded) == []


def test_items_are_selected_by_word_by_tag_and_by_the_mark_of_a_case(recorded):
    score(recorded, "-k", "plums-2 and right").assert_outcomes(passed=1, deselected=7)
    assert noted(recorded) == ["made plums-2", "tool pear"]
    score(recorded, "-m", "verdict and smoke", "--strict-markers").assert_outcomes(
        passed=1, failed=1, deselected=6
    )


def test_the_last_failed_run_again_alone(recorded):
    recorded.runpytest_inprocess("evals", *USED)
    noted(recorded)
    recorded.runpytest_inprocess("evals", *USED, "--lf").assert_outcomes(failed=2)
    assert noted(recorded) == ["made pears-2", "tool pear", "made plums-1", "tool pear"]


def test_the_gate_judges_runs_as_it_does_those_of_a_store(recorded):
    held = score(recorded, "--looplet-gate=threshold", "--looplet-threshold=0.5")
    assert held.ret == pytest.ExitCode.OK
    broken = score(recorded, "--looplet-gate=threshold", "--looplet-threshold=0.6")
    assert broken.ret == pytest.ExitCode.TESTS_FAILED
    broken.stdout.fnmatch_lines(["*eval_right_price: average 0.500 is below 0.600"])


def test_an_async_agent_is_run_in_the_async_loop(shop):
    change(shop, "def make(", "async def make(")
    change(shop, "def generate(self", "async def generate(self")
    change(shop, "return super()", "return await super()")
    change(shop, "MockLLMBackend", "AsyncMockLLMBackend")
    record(shop).stdout.fnmatch_lines(["runs: 4 recorded"])
    assert noted(shop).count("model") == 8
    score(shop).assert_outcomes(passed=6, failed=2)
    assert noted(shop) == [line for label in LABELS for line in (f"made {label}", "tool pear")]


def test_a_bundle_is_an_agent(shop):
    bundle = shop.mkdir("grocer")
    (bundle / "SKILL.md").write_text("---\nname: grocer\ndescription: Sells fruit.\n---\nSell.\n")
    (bundle / "looplet.py").write_text(
        "from looplet import minimal_preset, tools_from\n"
        "def build(runtime):\n"
        '    tools = tools_from([], include_done=True, done_parameters={"euro": "float"})\n'
        '    return minimal_preset(tools=tools, system_prompt="Sell.")\n'
    )
    change(
        shop,
        "return make",
        "from looplet import SkillRuntime, load_skill_bundle\n"
        '    bundle = load_skill_bundle("grocer")\n'
        "    def preset(live):\n"
        "        built = bundle.build_preset(SkillRuntime())\n"
        '        parts = {"tools": built.tools, "config": built.config}\n'
        "        return {**parts, 'llm': Live(replies(2.0)[1:])} if live else built\n"
        "    return preset",
    )
    record(shop, "--looplet-out=out").assert_outcomes(passed=6, failed=2)
    score(shop, "--looplet-out=out").stdout.fnmatch_lines(["runs: 4 replayed"])
    live, again = stored(shop)[0][:4], stored(shop)[0][4:]
    assert [run.digest for run in again] == [run.digest for run in live]
    assert {run.task["goal"] for run in again} == {"Price of pears", "Price of plums"}


def test_tools_come_from_the_cassette_where_the_suite_says_so(shop):
    change(shop, '{"metadata"', '{"tools": "recorded", "metadata"')
    record(shop)
    assert "tool pear" in noted(shop)
    score(shop).assert_outcomes(passed=6, failed=2)
    assert noted(shop) == [f"made {label}" for label in LABELS]


# What is kept


def test_runs_and_scores_are_appended_with_where_they_come_from(recorded):
    score(recorded, "--looplet-out=out").stdout.fnmatch_lines(
        ["trajectories: 4 appended to *out", "scores: 8 appended to *out (session *)"]
    )
    runs, scores = stored(recorded)
    assert [f"{run.task_id}-{run.trial}" for run in runs] == LABELS
    assert len(list((recorded.path / "out" / "trajectories").glob("*.parquet"))) == 1
    ids = [run.trajectory_id for run in runs]
    assert [row["trajectory_id"] for row in scores] == ids * 2
    assert len(set(ids)) == 4
    for run, name in zip(runs, files(recorded), strict=True):
        assert run.cassette == f"fixtures/{name}"
        assert run.cassette_hash == run.replay_of
        assert re.fullmatch("[0-9a-f]{64}", run.replay_of)
    pears = runs[0]
    assert (pears.dataset, pears.agent, pears.tags) == ("fixtures", "grocer", ["smoke"])
    assert (pears.task, pears.expected) == ({"goal": "Price of pears"}, {"euro": 2.0})
    again = recorded.runpytest_inprocess("evals", "--looplet-store=out", "--looplet-no-scores")
    again.assert_outcomes(passed=6, failed=2)


# Several suites


def suite(shop, name, *, euro):
    folder = shop.mkdir(name)
    folder.joinpath("conftest.py").write_text(
        "import pytest\n@pytest.fixture(scope='session', autouse=True)\n"
        f"def right(): return {euro}\n"
    )
    folder.joinpath(f"eval_{name}.py").write_text(
        "def eval_price(ctx, right): return ctx.final_output['euro'] == right\n"
        "def eval_judged(ctx, llm): return llm.generate(f'Is {ctx.final_output} right?')\n"
    )
    shop.path.joinpath("fixtures", name).mkdir(parents=True)


@pytest.fixture
def suites(shop):
    """Two suites with the same agent and the same cases, recorded into one folder."""
    shop.path.joinpath("judge.py").write_text(
        "from looplet import MockLLMBackend\nmake = MockLLMBackend(['yes'] * 9)\n"
    )
    suite(shop, "fruit", euro=2.0)
    suite(shop, "veg", euro=3.0)
    how = ("--looplet-trials=2", "--looplet-record=once", "--looplet-judge=judge.py:make")
    shop.runpytest_inprocess("fruit", "veg", *USED, *how).assert_outcomes(passed=12, failed=4)
    noted(shop)
    return shop


def test_one_folder_holds_the_cassettes_of_several_suites(suites):
    names = ["judges", *(f"{label}.yaml" for label in LABELS)]
    assert files(suites) == ["fruit", "veg"]
    for name in files(suites):
        folder = suites.path / "fixtures" / name
        assert sorted(path.name for path in folder.iterdir()) == names
        assert len(list((folder / "judges").iterdir())) == 4


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_several_suites_are_replayed_at_once_each_by_its_own(suites, workers):
    result = suites.runpytest_inprocess("fruit", "veg", *USED, "--looplet-out=out", *workers)
    result.assert_outcomes(passed=12, failed=4)
    result.stdout.fnmatch_lines(["runs: 8 replayed"])
    made = [each for each in noted(suites) if each.startswith("made")]
    assert sorted(made) == sorted(f"made {label}" for label in LABELS * 2)
    runs, scores = stored(suites)
    assert len({run.trajectory_id for run in runs}) == 8
    places = {f"fixtures/{run.dataset}/{run.task_id}-{run.trial}.yaml" for run in runs}
    assert places == {run.cassette for run in runs}
    assert {run.dataset for run in runs} == {"fruit", "veg"}
    assert len(scores) == 16


def test_the_agent_is_told_which_cassette_answers_it(recorded):
    change(recorded, "(case, trial, live):", "(case, trial, live, cassette):")
    change(recorded, "made {case.id}-{trial}", "{cassette.name} {cassette.is_file()}")
    score(recorded).assert_outcomes(passed=6, failed=2)
    told = [each for each in noted(recorded) if each != "tool pear"]
    assert told == [f"{label}.yaml True" for label in LABELS]


def test_a_run_that_was_recorded_is_no_replay(shop):
    record(shop, "--looplet-out=out")
    run = stored(shop)[0][0]
    assert run.replay_of is None
    assert run.metadata["task_id"] == "pears"
    score(shop, "--looplet-out=out", "--looplet-no-scores")
    runs, scores = stored(shop)
    assert runs[4].replay_of == run.cassette_hash
    assert [each.digest for each in runs[4:]] == [each.digest for each in runs[:4]]
    assert len(scores) == 8


@pytest.mark.parametrize("dist", ["load", "worksteal"])
def test_workers_make_the_runs_and_the_controller_keeps_each_once(recorded, dist):
    score(recorded, "--looplet-out=out", "-q")
    alone = verdicts(recorded)
    alone_runs = [(run.task_id, run.trial, run.digest) for run in stored(recorded)[0]]
    noted(recorded)
    for place in ("trajectories", "scores"):
        for part in (recorded.path / "out" / place).glob("*.parquet"):
            part.unlink()
    args = ("-n", "2", "--dist", dist, "--looplet-out=out", "--looplet-gate=threshold")
    result = score(recorded, *args)
    result.stdout.fnmatch_lines(
        [
            "eval_right_price      4       2  0.50*",
            "runs: 4 replayed",
            "trajectories: 4 appended to *out",
            "scores: 8 appended to *out (session *)",
            "gate: NOT held",
        ]
    )
    assert verdicts(recorded) == alone
    together = [(run.task_id, run.trial, run.digest) for run in stored(recorded)[0]]
    assert sorted(together) == sorted(alone_runs)
    made = [line for line in noted(recorded) if line.startswith("made")]
    assert sorted(made) == [f"made {label}" for label in LABELS] or dist == "worksteal"


def test_runs_that_cannot_be_kept_fail_the_run(recorded):
    (recorded.path / "out").write_text("a file")
    result = score(recorded, "--looplet-out=out", "-k", "ended")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["trajectories and scores NOT written: *"])


CRASHES = """
    import os

    def crash(ctx, *where):
        if (ctx.trajectory.task_id, ctx.trajectory.trial) == where:
            os._exit(1)
        return True

    def eval_a(ctx):
        return crash(ctx, "pears", 1)

    def eval_b(ctx):
        return crash(ctx, "plums", 2)
"""


def test_runs_that_went_down_with_a_worker_are_told(recorded, write):
    write(CRASHES.replace("pears", "nobody"))
    result = score(recorded, "-n", "1", "--looplet-out=out")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["*NOT written: * of 4 runs went down with their worker", "*worker 'gw0' crashed*"]
    )
    assert not (recorded.path / "out").exists()


def test_what_a_worker_that_went_down_has_left_is_done_by_another(recorded, write):
    write(CRASHES.replace("plums", "nobody"))
    result = score(recorded, "-n", "1", "--looplet-out=out")
    result.assert_outcomes(passed=7, failed=1)
    result.stdout.fnmatch_lines(["runs: 4 replayed", "trajectories: 4 appended to *"])


def test_what_is_expected_may_be_nothing_much(recorded, write):
    recorded.makefile(".jsonl", cases='{"id": "plums", "expected": 0}')
    write("def eval_zero(ctx): return ctx.expected == 0 and ctx.expected is not None")
    score(recorded, "--looplet-cases=cases.jsonl").assert_outcomes(passed=2)


# Runs that are none


def test_a_changed_prompt_is_a_divergence_told_in_full_once(recorded):
    change(recorded, "You sell fruit.", "You sell the best fruit.")
    result = score(recorded, "--looplet-out=out", "-k", "plums-1")
    result.assert_outcomes(failed=2, deselected=6)
    text = result.stdout.str()
    assert text.count("You sell the best fruit.") == 1
    result.stdout.fnmatch_lines(
        [
            f"  pytest '{PRICE}?plums-1?' --looplet-cassettes fixtures --looplet-record=all",
            "*What the model would answer is not known, so there is no run to judge.*",
            f"the run diverged from its cassette; {PRICE}?plums-1? tells it in full",
            "  eval_right_price: the run diverged from its cassette (1)",
            "runs: 1 diverged",
            "  diverged: plums-1",
            "trajectories: none to append",
            "scores: 2 appended to *",
        ]
    )
    assert noted(recorded) == ["made plums-1"]


def test_the_command_that_a_divergence_names_records_that_run_alone(recorded):
    change(recorded, "You sell fruit.", "You sell the best fruit.")
    told = score(recorded, "-k", "plums-1").stdout.str()
    command = next(line for line in told.splitlines() if line.startswith("  pytest "))
    before = [(recorded.path / "fixtures" / name).read_bytes() for name in files(recorded)]
    recorded.runpytest_inprocess(*shlex.split(command)[1:]).stdout.fnmatch_lines(
        ["runs: 1 recorded"]
    )
    after = [(recorded.path / "fixtures" / name).read_bytes() for name in files(recorded)]
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, True, False, True]
    score(recorded).stdout.fnmatch_lines(["runs: 3 diverged, 1 replayed"])


def test_a_missing_cassette_is_an_error_with_the_command_that_records_it(recorded):
    (recorded.path / "fixtures" / "plums-2.yaml").unlink()
    result = score(recorded, "--looplet-trials=2")
    result.assert_outcomes(passed=4, failed=4)
    result.stdout.fnmatch_lines(
        [
            "there is no cassette *plums-2.yaml, of case 'plums', trial 2.*",
            f"there is no cassette; {PRICE}?plums-2? tells it in full",
            "runs: 3 replayed, 1 missing",
            "  missing: plums-2",
        ]
    )
    assert "made plums-2" not in noted(recorded)
    command = next(
        line.partition(": ")[2] for line in result.outlines if "to record what is missing" in line
    )
    recorded.runpytest_inprocess(*shlex.split(command)[1:]).stdout.fnmatch_lines(
        ["runs: 3 replayed, 1 recorded"]
    )
    assert noted(recorded).count("model") == 2


def test_what_an_agent_raises_is_an_error_of_every_eval_on_the_run(recorded):
    change(recorded, 'note(f"made', "case.task['nothing']\n        note(f\"made")
    result = score(recorded, "-k", "plums-1", "--looplet-gate=threshold", "--looplet-threshold=0")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "*case.task?'nothing'?",
            "E * KeyError: 'nothing'",
            f"the agent raised KeyError: 'nothing'; {PRICE}?plums-1? tells it in full",
            "  - eval_right_price: 1 error",
        ]
    )
    assert "make_run" not in result.stdout.str()


def test_a_run_that_ends_before_its_cassette_is_judged_and_told(recorded):
    change(recorded, "@tool", "class Stop:\n    def should_stop(self, *_): return True\n\n@tool")
    change(recorded, '"llm": Live', '"hooks": [Stop()], "llm": Live')
    result = score(recorded, "-k", "ended")
    result.assert_outcomes(failed=4, deselected=4)
    result.stdout.fnmatch_lines(
        ["runs: 4 replayed in part", "  replayed in part: pears-1, pears-2, plums-1, plums-2"]
    )


def test_a_damaged_cassette_is_an_error_of_its_run_alone(recorded):
    place = recorded.path / "fixtures" / "plums-1.yaml"
    place.write_bytes(place.read_bytes()[:-20])
    result = score(recorded, "-k", "ended")
    result.assert_outcomes(passed=3, failed=1, deselected=4)
    result.stdout.fnmatch_lines(["*plums-1.yaml: it has no footer*", "runs: 3 replayed, 1 failed"])


# Which runs there are


def test_without_cases_they_are_those_that_the_cassettes_name(recorded):
    change(recorded, "pytest_looplet_cases", "cases_of_another_day")
    result = score(recorded, "--looplet-out=out")
    result.assert_outcomes(passed=6, failed=2)
    assert [run.expected["euro"] for run in stored(recorded)[0]] == [2.0, 2.0, 3.0, 3.0]


def test_cases_of_the_command_line_go_before_those_of_the_suite(recorded, write):
    recorded.makefile(
        ".jsonl", cases='{"id": "plums", "expected": {"euro": 2.0}, "notes": "cheap"}'
    )
    write("def eval_notes(ctx, case): return case.notes == 'cheap' and ctx.expected['euro'] == 2.0")
    result = score(recorded, "--looplet-cases=cases.jsonl", "--looplet-trials=1", "-v")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "*eval_notes?plums-1? PASSED*",
            "  cassettes of no case, left alone: pears-1.yaml, pears-2.yaml",
        ]
    )


# What is refused


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--looplet-store=fixtures"], "*--looplet-store scores runs that are there and *"),
        (["--looplet-cases=nowhere.json"], "*no cases at *nowhere.json*"),
        (["--looplet-trials=0"], "*'0' is not a number of trials*"),
        (["--looplet-record=all", "-n", "2"], "*--looplet-record=all records in one process*"),
    ],
)
def test_what_cannot_be_meant_is_refused(recorded, args, text):
    result = score(recorded, *args)
    assert result.ret in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.INTERRUPTED)
    assert any(
        re.search(re.escape(text.strip("*")).replace(r"\*", ".*"), line)
        for line in [*result.outlines, *result.errlines]
    )
    assert noted(recorded) == []


@pytest.mark.parametrize("option", ["cases=x", "trials=2", "out=x", "tool-results=any"])
def test_options_of_agents_need_cassettes(shop, option):
    result = shop.runpytest_inprocess(f"--looplet-{option}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*is about runs of an agent: add --looplet-cassettes DIR"])


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
def test_a_folder_that_is_not_there_is_a_usage_error(shop, workers):
    result = score(shop, *workers)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--looplet-cassettes: there is no directory *fixtures;*"])


def test_two_cassettes_of_one_trial_are_a_usage_error(recorded):
    folder = recorded.path / "fixtures"
    (folder / "other.yaml").write_bytes((folder / "plums-1.yaml").read_bytes())
    result = score(recorded)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*plums-1.yaml and other.yaml both say that they are trial 1 of *"]
    )


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("def agent(", "def helper(", "*runs the agent, and eval_price.py has none: write a*"),
        ("case.id", "case.ID", "*AttributeError*"),
        (
            "return make",
            "return {'tools': 1}",
            "*must give a function that makes the agent of one*",
        ),
        (
            "make(case, trial, live)",
            "make(case, trail, live)",
            "*takes 'trail'; there are case, tr*",
        ),
        ('"llm": Live', '"lmm": Live', "*not lmm*"),
        ('{"metadata"', '{"metdata"', "*looplet_cassette_config has 'metdata'*"),
        ("return [", "return 1, [", "*pytest_looplet_cases gives EvalCase, not int*"),
    ],
)
def test_a_suite_that_cannot_be_run_is_an_error_with_a_remedy(recorded, old, new, text):
    change(recorded, old, new)
    result = score(recorded)
    assert result.ret != pytest.ExitCode.OK
    result.stdout.fnmatch_lines([text])
    assert result.parseoutcomes().get("passed") is None


def test_a_recording_needs_a_model(shop):
    change(shop, "if live else None", "if False else None")
    result = record(shop)
    result.stdout.fnmatch_lines(["*--looplet-record=once asks a model, and the agent brings none*"])
    assert files(shop) == []


TWO_MODELS = """
    from looplet import BackendRouter

    @pytest.fixture(scope="session")
    def agent():
        def make(case, live, wrap_llm):
            names = ("asks", "ends")
            models = {
                name: wrap_llm(Live([reply]) if live else None, lane=name)
                for name, reply in zip(names, replies(2.0))
            }
            router = BackendRouter(models, routes={name: name for name in names})

            class Turns:
                turn = 0
                def select(self, purpose="reasoning"):
                    self.turn += 1
                    return router.select("asks" if self.turn % 2 else "ends")

            return {
                "tools": tools_from([price], include_done=True, done_parameters={"euro": "float"}),
                "config": LoopConfig(max_steps=3, system_prompt=PROMPT, router=Turns()),
                "llm": router,
            }
        return make
"""


def test_each_model_of_an_agent_is_recorded_and_replayed_in_a_lane_of_its_own(shop):
    shop.makeconftest(CONFTEST + TWO_MODELS)
    for args in (("--looplet-record=once",), ()):
        result = score(shop, "--looplet-out=out", *args)
        assert result.parseoutcomes() == {"passed": 3, "failed": 1}
        asked = noted(shop).count("model")
        assert asked == (4 if args else 0)
    for name in files(shop):
        text = (shop.path / "fixtures" / name).read_text()
        assert re.findall("uri: looplet://(\\w+)/generate", text) == ["asks", "ends"]
    runs, _ = stored(shop)
    assert [len(run.llm_calls) for run in runs] == [2] * 4, "each call once"
    assert runs[0].digest == runs[2].digest
    change(shop, "self.turn % 2 else", "self.turn % 3 else")
    result = score(shop)
    result.stdout.fnmatch_lines(["*lane asks*", "runs: 2 diverged"])
