"""``looplet doctor``: what is there, what is missing, and no secret in what it says."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib import metadata

import pytest

from looplet import __version__
from tests.cli.conftest import Said
from tests.conftest import ROOT
from tests.servers import Answer, completion

VARIABLES = ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL")
KEY = "k3y-of-the-house"


@pytest.fixture
def variables(monkeypatch):
    """Sets the variables, and takes out those that are not given."""

    def put(*values):
        for name, value in zip(VARIABLES, values or (None,) * 3, strict=True):
            monkeypatch.delenv(name, raising=False)
            if value is not None:
                monkeypatch.setenv(name, value)

    return put


def checks(said):
    return {each["name"]: each for each in json.loads(said.out)["checks"]}


def test_everything_is_well_where_everything_is_there(looplet, server, variables):
    variables(server.url, KEY, "small")
    call = completion(
        None, calls=[("c", "test_probe", '{"word": "x"}')], finish_reason="tool_calls"
    )
    server.says(call, call)
    said = looplet("doctor", "--json", "--strict")
    found = checks(said)
    assert said.status == 0, found
    assert {each["status"] for each in found.values()} == {"ok"}
    assert found["python"]["detail"] == platform.python_version()
    assert found["looplet"]["detail"] == __version__
    assert found["OPENAI_BASE_URL"]["detail"] == server.url
    assert found["native_tools"]["detail"] == "the model called test_probe"
    assert {"openai", "anthropic", "replay", "evals", "analysis", "skills", "mcp"} <= set(found)
    assert "vcrpy " in found["replay"]["detail"]
    said = looplet("doctor")
    assert said.out.splitlines()[0] == f"✓ python: {platform.python_version()}"
    assert KEY not in said.out


def test_a_model_without_tools_is_a_warning_and_one_that_fails_an_error(looplet, server, variables):
    variables(server.url, KEY, "small")
    server.says(completion("no"))
    said = looplet("doctor", "--json")
    assert (said.status, checks(said)["native_tools"]["status"]) == (0, "warn")
    server.says(completion("no"))
    assert looplet("doctor", "--strict").status == 1
    server.says(Answer(status=401, body={"error": {"message": f"wrong key {KEY}"}}))
    said = looplet("doctor", "--json")
    assert (said.status, checks(said)["native_tools"]["status"]) == (1, "error")
    assert "401" in said.out
    assert KEY not in said.out


def test_variables_that_are_not_set_are_warnings_and_say_what_is_used(looplet, variables):
    variables()
    said = looplet("doctor", "--no-backend", "--json")
    found = checks(said)
    assert said.status == 0
    assert "native_tools" not in found
    assert [found[name]["status"] for name in VARIABLES] == ["warn"] * 3
    assert "http://localhost:11434/v1 is asked" in found["OPENAI_BASE_URL"]["detail"]
    assert looplet("doctor", "--no-backend", "--strict").status == 1


@pytest.mark.parametrize(
    "url",
    ["localhost:8000", "ftp://x/v1", "http://", "x", "http://[::1", f"http://a:{KEY}@b:port/v1"],
)
def test_a_url_that_is_none_is_an_error(looplet, variables, url):
    variables(url, KEY, "m")
    said = looplet("doctor", "--json")
    found = checks(said)
    assert (said.status, said.err) == (1, "")
    assert found["OPENAI_BASE_URL"]["status"] == found["native_tools"]["status"] == "error"
    assert KEY not in said.out


def alone(folder, *argv, packages):
    """A command in a process that has looplet and nothing else, but for what packages say."""
    whole = metadata.distribution("looplet").read_text("METADATA")
    for name, version in {"looplet": __version__, **packages}.items():
        place = folder / f"{name}-{version}.dist-info"
        place.mkdir(parents=True)
        text = whole if name == "looplet" else f"Name: {name}\nVersion: {version}\n"
        (place / "METADATA").write_text(text)
    path = os.pathsep.join([str(folder), str(ROOT)])
    ran = subprocess.run(
        [sys.executable, "-S", "-m", "looplet", *argv], capture_output=True, text=True,
        check=False, cwd=folder, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    return Said(ran.returncode, ran.stdout, ran.stderr)


def test_extras_that_are_there_are_told_and_the_models_in_any_case(variables, tmp_path):
    variables("http://127.0.0.1:1/v1", KEY, "small")
    command = ("doctor", "--no-backend", "--json")
    bare = alone(tmp_path / "bare", *command, packages={})
    assert (bare.status, bare.err) == (0, "")
    assert checks(bare)["openai"] == {
        "name": "openai",
        "status": "warn",
        "detail": 'openai, pyyaml not installed: pip install "looplet[openai]"',
    }
    extras = {"all", "anthropic", "completion", "evals", "mcp", "replay", "skills"}
    assert not extras & set(checks(bare))
    packages = {"openai": "0.28.1", "pyyaml": "6.0.1", "shtab": "1.10.0"}
    some = checks(alone(tmp_path / "some", *command, packages=packages))
    assert some["openai"]["detail"] == (
        'openai 0.28.1, needs 1.30 or later: pip install "looplet[openai]"'
    )
    assert some["skills"]["detail"] == "pyyaml 6.0.1"
    assert some["completion"]["detail"] == "shtab 1.10.0"
    assert {some[name]["status"] for name in ("skills", "completion")} == {"ok"}


def test_a_missing_package_is_one_line_that_says_what_to_install(tmp_path, make_bundle):
    root = make_bundle()
    for place, (extra, argv) in enumerate(
        {
            "skills": ("list-bundles", str(root.parent)),
            "completion": ("completion", "bash"),
        }.items()
    ):
        said = alone(tmp_path / str(place), *argv, packages={})
        assert (said.status, said.err.count("\n")) == (1, 1)
        assert said.err.startswith("error: ")
        assert f'pip install "looplet[{extra}]"' in said.err


def test_a_password_in_the_url_is_not_said(looplet, variables):
    variables(f"http://user:{KEY}@127.0.0.1:1/v1?key={KEY}", KEY, "m")
    said = looplet("doctor", "--json")
    assert checks(said)["OPENAI_BASE_URL"]["detail"] == "http://127.0.0.1:1/v1"
    assert KEY not in said.out + said.err
