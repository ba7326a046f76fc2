"""What the programmer is asked, and how its scripted stand-in goes about it.

The scripts are ours: the small model that recorded the parcel desk cannot program.
"""

from __future__ import annotations

from looplet.examples.scripted import Call, Task

_BASKET = 'def euro(n: int) -> float:\n    """Price of n apples."""\n    return round(n * 0.4, 2)\n'
_BASKET_TEST = """import unittest

from basket import euro


class Basket(unittest.TestCase):
    def test_three_apples(self):
        self.assertEqual(euro(3), 1.2)
"""
_UNITS = (
    'def to_grams(kilos: float) -> float:\n    """Kilograms in grams."""\n    return kilos * 1000\n'
)
_UNITS_TEST = """import unittest

from units import to_grams


class Units(unittest.TestCase):
    def test_half_a_kilo(self):
        self.assertEqual(to_grams(0.5), 500)
"""
_RUN_TESTS: Call = ("bash", {"command": "python -m unittest"})

TASKS = (
    Task(
        task_id="basket",
        goal="Write basket.py with euro(n), the price of n apples at 0.40 each, and test it.",
        expected={"path": "basket.py", "code": "n * 0.4"},
        calls=(
            ("think", {"analysis": "An empty folder; a function and a test will do."}),
            ("glob", {"pattern": "**/*.py"}),
            ("write", {"path": "basket.py", "content": _BASKET.replace("0.4", "0.5")}),
            ("write", {"path": "test_basket.py", "content": _BASKET_TEST}),
            _RUN_TESTS,
            ("grep", {"pattern": "0\\.5"}),
            ("edit", {"path": "basket.py", "old": "n * 0.5", "new": "n * 0.4"}),
            ("done", {"summary": "Too early: the test was not run again."}),
            _RUN_TESTS,
            ("read", {"path": "basket.py"}),
            ("done", {"summary": "basket.euro gives the price of n apples; its test passes."}),
        ),
    ),
    Task(
        task_id="units",
        goal="Write units.py with to_grams(kilos), test first, and remove nothing.",
        expected={"path": "units.py", "code": "kilos * 1000"},
        calls=(
            ("write", {"path": "test_units.py", "content": _UNITS_TEST}),
            _RUN_TESTS,
            ("write", {"path": "units.py", "content": _UNITS}),
            ("bash", {"command": "rm -r __pycache__"}),
            _RUN_TESTS,
            ("read", {"path": "units.py"}),
            ("done", {"summary": "units.to_grams turns kilograms into grams; its test passes."}),
        ),
    ),
)
"""The first has a test that fails and a done that comes too early, the second a refused command."""
