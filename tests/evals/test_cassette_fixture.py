"""pytest with cassettes: whose file, which mode, what is told, and what a failure leaves alone."""

from __future__ import annotations

import re
from unicodedata import normalize

import pytest
import vcr.cassette  # noqa: F401 - loaded here, so that runs inside this process find it loaded
import yaml  # noqa: F401
from hypothesis import example, given
from hypothesis import strategies as st

from looplet.evals.cassettes import RE_RECORDING, file_name
from looplet.replay import use_cassette

SHOP = """
    import os
    import pytest

    class Live:
        model = "scripted"

        def generate(self, prompt, *, max_tokens=2000, system_prompt="", temperature=0.2):
            with open("asked.txt", "a") as file:
                print(prompt, file=file)
            return os.environ["ANSWER"]

    def ask(cassette, *questions):
        llm = cassette.wrap_llm(Live())
        return [llm.generate(question) for question in questions]

    @pytest.fixture
    def price(looplet_cassette):
        return lambda *fruits: ask(looplet_cassette, *(fruits or ["pear"]))
"""


@pytest.fixture
def shop(pytester, monkeypatch):
    """A project outside of continuous integration, with a model that answers ``ANSWER``."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("ANSWER", "40 cents")
    pytester.makepyfile(shop=SHOP, conftest="from shop import price\n")
    return pytester


def run(shop, *args, **options):
    usual = ("-p", "no:cacheprovider", "--strict-markers", "-W", "default")
    return shop.runpytest_inprocess(*usual, *args, **options)


def asked(shop):
    """What the model was asked live since the last look."""
    place = shop.path / "asked.txt"
    lines = place.read_text().splitlines() if place.exists() else []
    place.unlink(missing_ok=True)
    return lines


def cassettes(shop):
    """Every file in a folder of cassettes, journals too."""
    found = [path for path in shop.path.rglob("cassettes/**/*") if path.is_file()]
    return sorted(path.relative_to(shop.path).as_posix() for path in found)


def write(shop, source, name="test_shop"):
    return shop.makepyfile(**{name: f"import pytest\nfrom shop import ask\n{source}"})


PRICE = """
def test_price(looplet_cassette):
    assert ask(looplet_cassette, "pear") == ["40 cents"]
"""


# Asked for by name, or by the mark


def test_a_test_records_its_cassette_once_and_then_replays_it(shop, monkeypatch):
    write(shop, PRICE)
    run(shop).assert_outcomes(passed=1)
    assert asked(shop) == ["pear"]
    assert cassettes(shop) == ["cassettes/test_shop/test_price.yaml"]
    monkeypatch.setenv("ANSWER", "not asked")
    result = run(shop)
    result.assert_outcomes(passed=1)
    assert asked(shop) == []
    result.stdout.no_fnmatch_line("*= cassettes =*")


def test_the_mark_alone_opens_a_cassette_and_only_where_it_stands(shop):
    write(
        shop,
        """
        @pytest.mark.looplet_cassette
        def test_marked(request):
            assert "looplet_cassette" in request.node.funcargs
            ask(request.node.funcargs["looplet_cassette"], "pear")

        def test_other(request):
            assert "looplet_cassette" not in request.node.funcargs

        @pytest.mark.parametrize(
            "fruit", [pytest.param("pear", marks=pytest.mark.looplet_cassette("x.yaml")), "plum"]
        )
        def test_fruit(fruit, request):
            assert ("looplet_cassette" in request.node.funcargs) == (fruit == "pear")
        """.replace("\n        ", "\n"),
    )
    run(shop).assert_outcomes(passed=4)
    assert cassettes(shop) == ["cassettes/test_shop/test_marked.yaml"]
    result = run(shop, "--looplet-record=none")
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at setup of test_fruit?pear?*"])


def test_a_mark_that_is_added_while_tests_are_collected_counts(shop):
    shop.makeconftest(
        """
        import pytest
        from shop import price

        def pytest_collection_modifyitems(items):
            for item in items:
                item.add_marker(pytest.mark.looplet_cassette("all.yaml"))
        """
    )
    write(shop, "def test_price(request): ask(request.getfixturevalue('looplet_cassette'), 'pear')")
    run(shop).assert_outcomes(passed=1)
    assert cassettes(shop) == ["cassettes/test_shop/all.yaml"]


def test_unittest_cases_have_cassettes_by_their_mark(shop):
    write(
        shop,
        """
import unittest

@pytest.mark.looplet_cassette
class TestShop(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def keep(self, price):
        self.price = price

    def test_price(self):
        self.assertEqual(self.price(), ["40 cents"])
""",
    )
    run(shop).assert_outcomes(passed=1)
    assert cassettes(shop) == ["cassettes/test_shop/TestShop.test_price.yaml"]
    run(shop, "--looplet-record=none").assert_outcomes(passed=1)


def test_an_async_test_has_its_cassette(shop, monkeypatch):
    write(
        shop,
        """
import asyncio

class AsyncLive:
    model = "scripted"

    async def generate(self, prompt, *, max_tokens=2000, system_prompt="", temperature=0.2):
        await asyncio.sleep(0)
        return "40 cents"

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
async def test_price(looplet_cassette):
    llm = looplet_cassette.wrap_llm(AsyncLive())
    assert await asyncio.gather(llm.generate("pear"), llm.generate("plum")) == ["40 cents"] * 2
""",
    )
    run(shop).assert_outcomes(passed=1)
    assert cassettes(shop) == ["cassettes/test_shop/test_price.yaml"]
    run(shop, "--looplet-record=none").assert_outcomes(passed=1)


# Whose file


def test_each_test_has_a_file_of_its_own(shop):
    write(
        shop,
        """
def test_price(price): price()

FRUITS = ["pear", "a/b", "a:b", "PEAR", "../../x", "x" * 300, "é", ""]

@pytest.mark.parametrize("fruit", FRUITS, ids=str)
def test_fruit(price, fruit): price(fruit)

class TestShop:
    def test_price(self, price): price()

    class TestInner:
        def test_price(self, price): price()

class TestOther:
    class TestInner:
        def test_price(self, price): price()
""",
    )
    (shop.path / "sub").mkdir()
    (shop.path / "sub" / "test_sub.py").write_text("def test_price(price): price()\n")
    run(shop).assert_outcomes(passed=13)
    found = cassettes(shop)
    assert len(found) == len({name.casefold() for name in found}) == 13
    assert {name for name in found if not re.search(r"-[0-9a-f]{8}\.yaml", name)} == {
        "cassettes/test_shop/TestOther.TestInner.test_price.yaml",
        "cassettes/test_shop/TestShop.TestInner.test_price.yaml",
        "cassettes/test_shop/TestShop.test_price.yaml",
        "cassettes/test_shop/test_fruit[].yaml",
        "cassettes/test_shop/test_fruit[pear].yaml",
        "cassettes/test_shop/test_price.yaml",
        "sub/cassettes/test_sub/test_price.yaml",
    }
    run(shop, "--looplet-record=none").assert_outcomes(passed=13)


TEXT = st.text(max_size=200) | st.text("aAsß/\\.:\x00[]- é", max_size=4)


@example(["ß", "ss"])
@example(["\u00e9", "e\u0301"])
@given(st.lists(TEXT, min_size=2, max_size=2, unique=True))
def test_two_parameters_never_share_a_file_on_any_file_system(texts):
    names = [file_name(["TestShop"], f"test_price[{text}]") for text in texts]
    assert len({normalize("NFKC", name).casefold() for name in names}) == 2
    for name in names:
        assert name.startswith("TestShop.test_price[")
        assert re.fullmatch(r"[\w.,+=@\[\]-]+\.yaml", name)
        assert len(name.encode()) < 200


def test_names_that_differ_by_case_alone_are_refused(shop):
    write(shop, "def test_price(price): price()\ndef test_PRICE(price): price()")
    result = run(shop)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["E *CassetteError: test_shop.py::test_PRICE would share the cassette *test_PRICE.yaml*"]
    )


@pytest.mark.parametrize(
    ("mark", "file"),
    [
        ("'pear.yaml'", "cassettes/test_shop/pear.yaml"),
        ("path='deep/pear.yaml'", "cassettes/test_shop/deep/pear.yaml"),
        ("pathlib.Path('../pear.yaml')", "cassettes/pear.yaml"),
        ("pathlib.Path('cassettes/here.yaml').absolute()", "cassettes/here.yaml"),
        ("", "cassettes/test_shop/test_price.yaml"),
    ],
)
def test_a_mark_names_the_file(shop, mark, file):
    write(shop, f"import pathlib\n@pytest.mark.looplet_cassette({mark}){PRICE}")
    run(shop).assert_outcomes(passed=1)
    assert cassettes(shop) == [file]


def test_the_nearest_mark_counts_and_what_it_leaves_out_is_the_module_s(shop):
    write(
        shop,
        """
pytestmark = pytest.mark.looplet_cassette("shared.yaml", metadata={"from": "module"})

@pytest.mark.looplet_cassette(metadata={"from": "test"})
def test_price(looplet_cassette):
    assert ask(looplet_cassette, "pear") == ["40 cents"]
""",
    )
    run(shop).assert_outcomes(passed=1)
    with use_cassette(shop.path / "cassettes/test_shop/shared.yaml") as cassette:
        assert cassette.metadata == {"from": "test"}


NEIGHBOUR = """
    import pytest
    from shop import price

    @pytest.fixture(scope="module")
    def vcr_cassette_dir(request):
        return request.path.parent / "cassettes" / FOLDER

    @pytest.fixture
    def NAME(request):
        return request.node.name
"""


@pytest.mark.parametrize("name", ["default_cassette_name", "vcr_cassette_name"])
def test_a_file_in_which_a_plugin_for_http_records_the_test_is_refused(shop, name):
    neighbour = NEIGHBOUR.replace("NAME", name).replace("FOLDER", "request.path.stem")
    shop.makepyfile(conftest=neighbour)
    shop.makeini("[pytest]\nmarkers = vcr: record the test's requests")
    write(
        shop,
        """
@pytest.mark.vcr
def test_price(price): price()

@pytest.mark.vcr
@pytest.mark.looplet_cassette("own.yaml")
def test_named(price): price()

def test_unmarked(price): price()
""",
    )
    result = run(shop)
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        ["*test_price is marked with vcr, and keeps what that records in *test_price.yaml too: *"]
    )
    assert not [*shop.path.rglob("test_price.yaml")]


def test_a_plugin_for_http_with_a_folder_of_its_own_stands_in_no_one_s_way(shop):
    neighbour = NEIGHBOUR.replace("NAME", "default_cassette_name").replace("FOLDER", "'http'")
    shop.makepyfile(conftest=neighbour)
    shop.makeini("[pytest]\nmarkers = vcr: record the test's requests")
    write(shop, "@pytest.mark.vcr\ndef test_price(price): price()")
    run(shop).assert_outcomes(passed=1)


def test_tests_may_share_a_file_by_its_name(shop):
    write(
        shop,
        """
@pytest.mark.looplet_cassette("shared.yaml")
@pytest.mark.parametrize("time", [1, 2])
def test_price(price, time): price()
""",
    )
    run(shop).assert_outcomes(passed=2)
    assert asked(shop) == ["pear"]


@pytest.mark.parametrize("mode", RE_RECORDING)
def test_two_tests_do_not_record_one_file_anew_in_one_run(shop, mode):
    write(
        shop,
        """
pytestmark = pytest.mark.looplet_cassette("shared.yaml")
def test_pear(price): price("pear")
def test_plum(price): price("plum")
""",
    )
    result = run(shop, f"--looplet-record={mode}")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["E *test_plum would replace the cassette *shared.yaml, which *::test_pear has just*"]
    )
    asked(shop)
    run(shop, "-k", "pear", "--looplet-record=none").assert_outcomes(passed=1, deselected=1)


# Which mode


@pytest.mark.parametrize(
    ("ci", "config", "mark", "option", "records"),
    [
        (None, None, None, None, True),
        ("", None, None, None, True),
        ("true", None, None, None, False),
        ("true", "once", None, None, True),
        (None, "none", None, None, False),
        (None, "none", "once", None, True),
        (None, "once", "none", None, False),
        ("true", None, "once", None, True),
        ("true", None, "none", "once", True),
        (None, None, "once", "none", False),
        (None, "once", "once", "none", False),
        *[("true", "none", "none", mode, True) for mode in ("new_episodes", *RE_RECORDING)],
    ],
)
def test_the_record_mode_is_the_command_line_s_the_mark_s_the_project_s_or_the_environment_s(
    shop, monkeypatch, ci, config, mark, option, records
):
    if ci is not None:
        monkeypatch.setenv("CI", ci)
    options = {"record_mode": config} if config else {}
    shop.makeconftest(
        f"""
        import pytest

        @pytest.fixture(scope="session")
        def looplet_cassette_config():
            return {options!r}
        """
    )
    write(shop, f"@pytest.mark.looplet_cassette(record_mode={mark!r}){PRICE}" if mark else PRICE)
    result = run(shop, *([f"--looplet-record={option}"] if option else []))
    if records:
        result.assert_outcomes(passed=1)
        assert cassettes(shop) == ["cassettes/test_shop/test_price.yaml"]
    else:
        result.assert_outcomes(errors=1)
        assert asked(shop) == cassettes(shop) == []
        source = "--looplet-record" if option else "the *mark or*" if config or mark else "*CI"
        result.stdout.fnmatch_lines(
            [
                "E *CassetteMissing: there is no cassette *test_price.yaml*",
                "*Under pytest: pytest test_shop.py::test_price --looplet-record=once",
                f"*The record mode 'none' is from {source}.",
            ]
        )


def test_an_unknown_mode_is_a_usage_error(shop):
    result = run(shop, "--looplet-record=sometimes")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--looplet-record: invalid choice: 'sometimes'*"])


def test_the_options_of_the_mark_and_of_the_project_reach_the_cassette(shop):
    shop.makeconftest(
        """
        import pytest

        @pytest.fixture(scope="session")
        def looplet_cassette_config():
            return {"metadata": {"from": "project"}}
        """
    )
    write(
        shop,
        f"""
{PRICE}

@pytest.mark.looplet_cassette(metadata={{"from": "mark"}})
def test_marked(looplet_cassette):
    ask(looplet_cassette, "pear")
""",
    )
    run(shop).assert_outcomes(passed=2)
    for test, source in (("test_price", "project"), ("test_marked", "mark")):
        with use_cassette(shop.path / f"cassettes/test_shop/{test}.yaml") as cassette:
            assert cassette.metadata == {"from": source}


@pytest.mark.parametrize("of", ["mark", "project"])
def test_what_is_secret_is_not_written(shop, monkeypatch, of):
    monkeypatch.setenv("ANSWER", "The door opens with sesame99.")
    secrets = "{'door': 'sesame99'}"
    shop.makeconftest(
        f"""
        import pytest

        @pytest.fixture(scope="session")
        def looplet_cassette_config():
            return {{"redact": {secrets if of == "project" else "None"}}}
        """
    )
    mark = f"@pytest.mark.looplet_cassette(redact={secrets})" if of == "mark" else ""
    write(shop, f"{mark}\ndef test_door(looplet_cassette): ask(looplet_cassette, 'sesame99?')")
    run(shop).assert_outcomes(passed=1)
    (place,) = (shop.path / "cassettes").rglob("*.yaml")
    assert "sesame99" not in place.read_text()
    assert place.read_text().count("[REDACTED:door]") == 2


def test_tools_can_come_from_the_cassette_too(shop):
    source = """
from looplet import ToolCall, tool, tools_from

@tool
def price(*, fruit: str) -> dict:
    with open("asked.txt", "a") as file:
        print(fruit, file=file)
    return {"cents": 40}

@pytest.mark.looplet_cassette(tools="recorded")
def test_price(looplet_cassette):
    tools = looplet_cassette.wrap_tools(tools_from([price]))
    assert tools.dispatch(ToolCall("price", {"fruit": "pear"})).data == {"cents": 40}
"""
    write(shop, source)
    run(shop).assert_outcomes(passed=1)
    assert asked(shop) == ["pear"]
    run(shop, "--looplet-record=none").assert_outcomes(passed=1)
    assert asked(shop) == []


@pytest.mark.parametrize(
    ("mark", "text"),
    [
        ("tools='dead'", "tools='dead' is not known; it is 'live' or 'recorded'"),
        ("recordmode='once'", "looplet_cassette was given 'recordmode'; what there is: path, re*"),
        ("'a.yaml', 'b.yaml'", "looplet_cassette takes one path"),
        ("'a.yaml', path='b.yaml'", "looplet_cassette takes one path"),
        ("''", "looplet_cassette: '' is no path of a file"),
        ("path=3", "looplet_cassette: 3 is no path of a file"),
        ("record_mode='always'", "record_mode 'always' is not known; it is one of 'none', *"),
    ],
)
def test_a_mark_that_cannot_be_meant_is_refused(shop, mark, text):
    write(shop, f"@pytest.mark.looplet_cassette({mark}){PRICE}")
    result = run(shop)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"E *CassetteError: {text}"])
    assert asked(shop) == cassettes(shop) == []


def test_an_unknown_option_of_the_project_is_refused(shop):
    shop.makeconftest(
        """
        import pytest

        @pytest.fixture
        def looplet_cassette_config():
            return {"path": "x.yaml"}
        """
    )
    write(shop, PRICE)
    result = run(shop)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["E *CassetteError: looplet_cassette_config has 'path'; what *"])


# What a failure leaves alone

ENDS = {
    "fails": ("", "assert False", {"failed": 1}),
    "raises": ("", "raise KeyError", {"failed": 1}),
    "has an error in its module's teardown": (
        "@pytest.mark.usefixtures('broken_module')",
        "",
        {"passed": 1, "errors": 1},
    ),
}
ENDING = """
@pytest.fixture
def broken_before(price):
    price("plum")
    assert False

@pytest.fixture
def broken_after():
    yield
    assert False

@pytest.fixture(scope="module")
def broken_module():
    yield
    assert False

{mark}
def test_price(price):
    price("pear", "plum")
    {end}
"""


@pytest.mark.parametrize("mode", RE_RECORDING)
@pytest.mark.parametrize("end", ENDS)
def test_a_test_that_does_not_pass_leaves_a_good_cassette_as_it_is(shop, monkeypatch, end, mode):
    write(shop, ENDING.format(mark="", end=""))
    run(shop).assert_outcomes(passed=1)
    (place,) = (shop.path / "cassettes").rglob("*.yaml")
    good = place.read_bytes()
    monkeypatch.setenv("ANSWER", "50 cents")
    mark, line, outcomes = ENDS[end]
    write(shop, ENDING.format(mark=mark, end=line))
    result = run(shop, f"--looplet-record={mode}")
    result.assert_outcomes(**outcomes)
    assert "plum" in asked(shop)
    assert place.read_bytes() == good
    if "failed" in outcomes:
        result.stdout.fnmatch_lines(
            ["*- Captured looplet cassette teardown -*", "cassette *was left as it was*journal"]
        )
    write(shop, ENDING.format(mark="", end=""))
    run(shop, f"--looplet-record={mode}").assert_outcomes(passed=1)
    assert b"50 cents" in place.read_bytes()
    assert b"40 cents" not in place.read_bytes()


@pytest.mark.parametrize(
    ("end", "outcomes"), [("assert False", {"failed": 1}), ("pass", {"passed": 1})]
)
def test_new_episodes_of_a_test_that_does_not_pass_leave_a_good_cassette(shop, end, outcomes):
    write(shop, PRICE)
    run(shop).assert_outcomes(passed=1)
    (place,) = (shop.path / "cassettes").rglob("*.yaml")
    good = place.read_bytes()
    assert asked(shop) == ["pear"]
    write(shop, f"def test_price(price):\n    price('pear', 'plum')\n    {end}\n")
    run(shop, "--looplet-record=new_episodes").assert_outcomes(**outcomes)
    assert asked(shop) == ["plum"]
    assert (place.read_bytes() == good) == ("failed" in outcomes)


@pytest.mark.skipif(not hasattr(pytest, "Subtests"), reason="this pytest has no subtests")
def test_a_failed_subtest_leaves_a_good_cassette_as_it_is(shop, monkeypatch):
    write(shop, PRICE)
    run(shop).assert_outcomes(passed=1)
    (place,) = (shop.path / "cassettes").rglob("*.yaml")
    good = place.read_bytes()
    monkeypatch.setenv("ANSWER", "50 cents")
    write(
        shop,
        """
def test_price(price, subtests):
    with subtests.test():
        assert price() == ["40 cents"]
    with subtests.test():
        assert True
""",
    )
    assert run(shop, "--looplet-record=all").ret == pytest.ExitCode.TESTS_FAILED
    assert asked(shop) == ["pear", "pear"]
    assert place.read_bytes() == good


@pytest.mark.parametrize("end", ["raise KeyboardInterrupt", "pytest.exit('enough')"])
def test_a_run_that_is_broken_off_leaves_a_good_cassette_as_it_is(shop, monkeypatch, end):
    write(shop, PRICE)
    run(shop).assert_outcomes(passed=1)
    (place,) = (shop.path / "cassettes").rglob("*.yaml")
    good = place.read_bytes()
    monkeypatch.setenv("ANSWER", "50 cents")
    write(shop, f"def test_price(price):\n    price()\n    {end}\n")
    result = run(shop, "--looplet-record=all", no_reraise_ctrlc=True)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert asked(shop) == ["pear", "pear"]
    assert place.read_bytes() == good
    assert cassettes(shop)[1:] == ["cassettes/test_shop/test_price.yaml.journal"]


@pytest.mark.parametrize("end", ["assert False", "raise KeyboardInterrupt"])
def test_a_first_recording_that_does_not_come_to_its_end_is_kept_and_marked(shop, end):
    write(shop, f"{PRICE}    {end}\n")
    assert run(shop, no_reraise_ctrlc=True).ret in (1, pytest.ExitCode.INTERRUPTED)
    assert cassettes(shop) == ["cassettes/test_shop/test_price.yaml"]
    (place,) = (shop.path / "cassettes").rglob("*.yaml")
    assert "interrupted: true" in place.read_text()


def test_a_failed_test_is_not_held_in_memory(shop):
    write(
        shop,
        """
import gc
import weakref

class Large: pass
held = []

def test_price(price):
    large = Large()
    held.append(weakref.ref(large))
    price()
    assert False

def test_other():
    assert False  # takes the place of the last failure, which Python itself holds

def test_is_free():
    gc.collect()
    assert held[0]() is None
""",
    )
    # A process of its own: pytester keeps what the hooks of a run inside this one were given.
    shop.runpytest_subprocess().assert_outcomes(passed=1, failed=2)


def test_a_fixture_may_ask_the_model_while_it_is_torn_down(shop):
    write(
        shop,
        """
@pytest.fixture
def farewell(price):
    yield
    price("bye")

@pytest.mark.looplet_cassette
def test_price(farewell, price): price()
""",
    )
    run(shop).assert_outcomes(passed=1)
    assert asked(shop) == ["pear", "bye"]
    result = run(shop, "--looplet-record=none")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*not played*")


def test_a_cassette_that_cannot_be_written_is_an_error_at_teardown(shop):
    write(shop, f"import shutil\n{PRICE}    shutil.rmtree('cassettes')\n")
    result = run(shop)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_price*", "E *FileNotFoundError: *"])


# What is told


TWO = """
def test_price(price): price("pear", "plum")
def test_stock(price): price("fig")
"""
ONE = """
def test_price(price): price("pear")
def test_stock(price): price("fig")
"""
LEFT = "cassettes/test_shop/test_price.yaml: 1 of 2 recordings"


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_recordings_that_were_not_played_are_reported(shop, workers):
    write(shop, TWO)
    run(shop, *workers).assert_outcomes(passed=2)
    assert len(cassettes(shop)) == 2
    write(shop, ONE)
    result = run(shop, *workers)
    result.assert_outcomes(passed=2, warnings=1)
    result.stdout.fnmatch_lines(
        [
            "*= warnings summary =*",
            "test_shop.py::test_price",
            f"*CassetteWarning: {LEFT} were not played",
            "*= cassettes =*",
            f"{LEFT} not played by test_shop.py::test_price",
        ]
    )
    assert result.stdout.str().count("not played") == 2
    assert sorted(asked(shop)) == ["fig", "pear", "plum"]


def test_recordings_that_were_not_played_can_be_made_an_error(shop):
    write(shop, TWO)
    run(shop).assert_outcomes(passed=2)
    write(shop, ONE)
    result = run(shop, "-W", "error::looplet.evals.cassettes.CassetteWarning")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines([f"E *CassetteWarning: {LEFT} were not played"])


def test_a_cassette_of_several_tests_has_one_line(shop):
    write(
        shop, '@pytest.mark.looplet_cassette("s.yaml")\ndef test_both(price): price("pear", "fig")'
    )
    run(shop).assert_outcomes(passed=1)
    write(
        shop,
        """
pytestmark = pytest.mark.looplet_cassette("s.yaml")
def test_pear(price): price("pear")
def test_fig(price): price("fig")
def test_both(price): price("pear", "fig")
""",
    )
    result = run(shop)
    result.assert_outcomes(passed=3, warnings=2)
    result.stdout.fnmatch_lines(
        [
            "*= cassettes =*",
            "cassettes/test_shop/s.yaml: 1 of 2 * by *::test_pear; 1 of 2 * by *::test_fig",
        ]
    )


def test_of_a_failed_test_what_was_not_played_is_shown_with_the_failure_alone(shop):
    write(shop, TWO)
    run(shop).assert_outcomes(passed=2)
    write(shop, f"{ONE}    assert False\n".replace('price("fig")', "price(*[])"))
    write(
        shop,
        """
def test_price(price):
    price("pear")
    assert False
def test_stock(price):
    pytest.skip()
""",
    )
    result = run(shop)
    result.assert_outcomes(failed=1, skipped=1, warnings=0)
    result.stdout.fnmatch_lines(
        ["*Captured looplet cassette teardown*", "1 of 2 recordings were not played"]
    )
    result.stdout.no_fnmatch_line("*= cassettes =*")


def test_a_divergence_fails_the_test_and_says_what_to_type(shop):
    write(shop, PRICE)
    run(shop).assert_outcomes(passed=1)
    write(shop, PRICE.replace("pear", "plum"))
    result = run(shop)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *Divergence: cassette *test_price.yaml, lane main, call 1, *'pear' → 'plum'",
            "*Under pytest: pytest test_shop.py::test_price --looplet-record=all",
        ]
    )
    assert asked(shop) == ["pear"]


def test_a_divergence_that_somebody_caught_is_told(shop):
    write(shop, PRICE)
    run(shop).assert_outcomes(passed=1)
    write(
        shop,
        """
def test_price(price):
    price("pear")
    try:
        price("plum")
    except BaseException:
        pass
""",
    )
    result = run(shop)
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(
        ["*CassetteWarning: the test passed in spite of a divergence: cassette *"]
    )


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_workers_record_and_keep_what_is_good(shop, monkeypatch, workers):
    write(shop, TWO)
    run(shop, *workers).assert_outcomes(passed=2)
    good = {name: (shop.path / name).read_bytes() for name in cassettes(shop)}
    assert len(good) == 2
    monkeypatch.setenv("ANSWER", "50 cents")
    write(
        shop,
        """
def test_price(price): price("pear", "plum")
def test_stock(price):
    price("fig")
    assert False
""",
    )
    result = run(shop, "--looplet-record=all", *workers)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*Captured looplet cassette teardown*", "cassette *left as it*"])
    price, stock = sorted(good)
    assert b"50 cents" in (shop.path / price).read_bytes()
    assert (shop.path / stock).read_bytes() == good[stock]


def test_a_test_that_goes_on_after_a_divergence_has_an_error_at_its_end(shop):
    write(shop, PRICE)
    run(shop).assert_outcomes(passed=1)
    write(
        shop,
        """
def test_price(price):
    for fruit in ("plum", "pear"):
        try:
            price(fruit)
        except BaseException:
            pass
""",
    )
    result = run(shop)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_price*", "E *'pear' → 'plum'"])
    assert asked(shop) == ["pear"]


# The plugin


def test_the_mark_is_known_and_explained(shop):
    result = run(shop, "--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.looplet_cassette(path=None, ?, record_mode, *"])


def test_without_the_plugin_there_is_no_fixture_and_other_tests_run(shop):
    shop.makeconftest("")
    write(shop, f"{PRICE}\ndef test_other(): pass\n")
    result = run(shop, "-p", "no:looplet")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["E *fixture 'looplet_cassette' not found"])


def test_hooks_are_registered_once_and_only_where_a_cassette_is_used(shop):
    write(
        shop,
        f"""
def test_before(pytestconfig):
    assert not pytestconfig.pluginmanager.hasplugin("looplet-cassettes")
{PRICE}
def test_again(looplet_cassette, pytestconfig):
    assert pytestconfig.pluginmanager.hasplugin("looplet-cassettes")
""",
    )
    run(shop).assert_outcomes(passed=3)
