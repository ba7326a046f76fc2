"""What makes a page fail: each promise that a page can break is broken here."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pages import PageError, blocks_of, check_output, run_page

PRINTS = "```python\nprint(1 + 1)\n```\n"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a page that is written down in the test."""
    folder = tmp_path / "page"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    return lambda page: run_page(
        textwrap.dedent(page), name="page.md", folder=folder, environment={}
    )


def test_a_page_with_its_right_output_passes(run):
    kept = "```python\nfrom pathlib import Path\nPath('ran').write_text('2')\n```\n"
    run(PRINTS + "It gives\n```text\n2\n```\n" + kept)
    assert Path("ran").read_text() == "2"


def test_a_wrong_output_fails(run):
    with pytest.raises(PageError, match=r"page\.md:2 shows\n3\n\nbut what comes out is\n2"):
        run(PRINTS + "```text\n3\n```\n")


def test_an_output_that_goes_on_longer_than_is_shown_fails(run):
    with pytest.raises(PageError):
        run("```python\nprint(2)\nprint(3)\n```\n```text\n2\n```\n")


def test_an_output_that_is_not_shown_fails(run):
    with pytest.raises(PageError, match="prints, and shows no output"):
        run(PRINTS)


def test_an_output_that_does_not_come_fails(run):
    with pytest.raises(PageError):
        run("```python\nx = 1\n```\n```text\n1\n```\n")


def test_a_failing_assert_fails_and_names_the_pages_line(run):
    with pytest.raises(AssertionError) as caught:
        run("Some prose.\n\n```python\nx = 1\nassert x == 2\n```\n")
    assert caught.traceback[-1].lineno + 1 == 5


def test_a_syntax_error_fails(run):
    with pytest.raises(SyntaxError):
        run("```python\nx = = 1\n```\n")


def test_an_undefined_name_fails(run):
    with pytest.raises(NameError):
        run("```python\nllm.generate('hi')\n```\n")


def test_the_blocks_of_a_page_share_their_names_and_pages_do_not(run):
    run("```python\nx = 1\n```\n\n```python\nassert x == 1\n```\n")
    with pytest.raises(NameError):
        run("```python\nassert x == 1\n```\n")


def test_a_warning_fails(run):
    with pytest.raises(UserWarning):
        run("```python\nimport warnings\nwarnings.warn('look out')\n```\n")


def test_the_network_is_closed_to_blocks_and_to_commands(run):
    reach = "import socket; socket.create_connection(('192.0.2.1', 80), 1)"
    with pytest.raises(Exception, match="socket"):
        run(f"```python\n{reach}\n```\n")
    with pytest.raises(PageError, match="without a network"):
        run(f'```bash\npython -c "{reach}"\n```\n')


def test_a_command_and_its_output_are_compared(run):
    run("```console\n$ python -c 'print(2)'\n2\n$ echo a; echo b\na\nb\n```\n")
    with pytest.raises(PageError, match="what comes out is"):
        run("```console\n$ python -c 'print(2)'\n3\n```\n")
    with pytest.raises(PageError, match="what comes out is"):
        run("```console\n$ python -c 'print(2)'\n```\n")


def test_a_command_that_fails_fails(run):
    with pytest.raises(PageError, match="ended with 3"):
        run("```bash\nexit 3\n```\n")
    run("```console\n$ (exit 3) || echo $?\n3\n```\n")


def test_a_titled_block_is_a_file_for_what_follows(run):
    file = '```python title="agents/mine.py"\nX = 1\n```\n'
    run(file + "```python\nfrom agents import mine\nassert mine.X == 1\n```\n")
    run(file + "```console\n$ cat agents/mine.py\nX = 1\n```\n")
    with pytest.raises(PageError, match="nothing on the page uses"):
        run(file)
    with pytest.raises(SyntaxError):
        run('```python title="mine.py"\nX = = 1\n```\n```bash\ncat mine.py\n```\n')


def test_a_block_of_an_unknown_language_fails(run):
    with pytest.raises(PageError, match="'pyton'"):
        run("```pyton\nx = 1\n```\n")


def test_a_block_that_is_marked_is_not_run_and_another_word_fails(run):
    run("```bash {.no-run}\nexit 3\n```\n")
    with pytest.raises(PageError, match="'no-run'"):
        run("```bash no-run\ntrue\n```\n")


def test_a_text_block_that_is_no_output_fails(run):
    with pytest.raises(PageError, match="a text block is the output"):
        run("```text\n2\n```\n")


def test_a_block_that_never_ends_fails():
    with pytest.raises(PageError, match="never ends"):
        blocks_of("```python\nx = 1\n")


def test_a_longer_fence_holds_a_shorter_one():
    (block,) = blocks_of("````yaml\n```python\n```\n````\n")
    assert block.text == "```python\n```\n"


@pytest.mark.parametrize(
    ("shown", "printed"),
    [("a … c", "a b c"), ("a\n…\nd", "a\nb\nc\nd"), ("a\n…", "a"), ("x [0ms]", "x [17ms]")],
)
def test_what_varies_is_not_compared(shown, printed):
    check_output(shown, printed, "here")


@pytest.mark.parametrize(
    ("shown", "printed"),
    [("a … c", "a\nc"), ("a\n…\nd", "a\nb"), ("x [0ms]", "x"), ("a.c", "abc")],
)
def test_everything_else_is(shown, printed):
    with pytest.raises(PageError):
        check_output(shown, printed, "here")


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\x0b\x0c\x1c\x1d\x1e\x85…")))
def test_every_output_is_its_own(text):
    check_output(text, text, "here")
