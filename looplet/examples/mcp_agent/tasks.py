"""What the clerk is asked, and how its scripted stand-in goes about it.

The scripts are ours, to show a run that goes well, one that ends without a reservation, and one in
which the clerk reserves before it has looked.
"""

from __future__ import annotations

from looplet.examples.scripted import Task

TASKS = (
    Task(
        task_id="reserve-figs",
        goal="Reserve 12 crates of dried figs.",
        expected={"item": "dried figs", "crates": 12},
        calls=(
            ("find", {"word": "figs"}),
            ("stock", {"item": "dried figs"}),
            ("reserve", {"item": "dried figs", "crates": 12}),
            ("done", {"answer": "12 crates of dried figs are reserved; 28 are left."}),
        ),
    ),
    Task(
        task_id="too-few-lemons",
        goal="Reserve 50 crates of lemons, but none if there are fewer.",
        expected={"item": "lemons", "crates": 0},
        calls=(
            ("find", {"word": "lemon"}),
            ("stock", {"item": "lemons"}),
            ("done", {"answer": "None is reserved: there are 31 crates of lemons."}),
        ),
    ),
    Task(
        task_id="all-olives",
        goal="Reserve 60 crates of olives, or as many as there are.",
        expected={"item": "olives", "crates": 45},
        calls=(
            ("reserve", {"item": "olives", "crates": 60}),
            ("stock", {"item": "olives"}),
            ("reserve", {"item": "olives", "crates": 45}),
            ("done", {"answer": "All 45 crates of olives are reserved; 0 are left."}),
        ),
    ),
)
