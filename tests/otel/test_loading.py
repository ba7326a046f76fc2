"""What is loaded when, and what is said where OpenTelemetry is missing."""

from __future__ import annotations

import subprocess
import sys


def test_a_missing_package_is_named_with_its_extra():
    code = (
        "import sys; sys.modules['opentelemetry'] = None; "
        "from looplet.otel import OpenTelemetryHook"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'pip install "looplet[otel]"' in done.stderr


def test_the_loop_loads_no_tracing_until_it_is_asked_to():
    code = (
        "import sys, looplet, looplet.core.loop; "
        "print([name for name in sys.modules if 'trac' in name or 'telemetry' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_conventions_need_no_package():
    code = (
        "import sys; sys.modules['opentelemetry'] = None; "
        "from looplet.otel import content, conventions; print(conventions.CHAT)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "chat"
