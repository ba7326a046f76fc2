"""A server that somebody else wrote, as its package installs it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from looplet import register_done_tool
from looplet.mcp import MCPToolAdapter
from tests.mcp.conftest import ask, registry_of

VARIABLE = "LOOPLET_MCP_SERVER_TIME"
PLACES = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
PROGRAM = os.environ.get(VARIABLE) or shutil.which("mcp-server-time", path=PLACES)

pytest.importorskip("mcp", reason="the extra 'mcp' is not installed", exc_type=ImportError)
pytestmark = pytest.mark.skipif(
    PROGRAM is None,
    reason=f"no mcp-server-time beside this Python, on PATH or in {VARIABLE}",
)


@pytest.fixture(scope="module")
def adapter():
    with MCPToolAdapter.connect_stdio([PROGRAM, "--local-timezone", "UTC"]) as adapter:
        yield adapter


def test_its_tools_are_listed_as_they_are(adapter):
    specs = {spec.name: spec for spec in adapter.list_tools()}
    assert sorted(specs) == ["convert_time", "get_current_time"]
    convert = specs["convert_time"]
    assert convert.required_parameters() == ["source_timezone", "time", "target_timezone"]
    assert convert.concurrent_safe is True


def test_its_answers_are_data(adapter):
    data = ask(
        registry_of(adapter), "convert_time",
        source_timezone="Asia/Tokyo", time="16:30", target_timezone="Asia/Kolkata",
    ).data  # fmt: skip
    assert data["source"]["timezone"] == "Asia/Tokyo"
    assert data["target"]["datetime"].endswith("13:00:00+05:30")
    assert data["time_difference"] == "-3.5h"


def test_its_errors_are_data(adapter):
    data = ask(registry_of(adapter), "get_current_time", timezone="Nowhere/Land").data
    assert "Nowhere/Land" in data["error"]


def test_an_agent_uses_it(drive, adapter):
    tools = registry_of(adapter)
    register_done_tool(tools)
    llm = drive.text(
        [
            '{"tool": "get_current_time", "args": {"timezone": "UTC"}}',
            '{"tool": "done", "args": {"summary": "known"}}',
        ]
    )
    ran = drive(llm, tools=tools, task="How late is it?")
    assert ran.tools == ["get_current_time", "done"]
    assert ran.steps[0].tool_result.data["timezone"] == "UTC"
    assert ran.stop_reason == "done"
