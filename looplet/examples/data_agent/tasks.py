"""What the analyst is asked, and how its scripted stand-in goes about it.

The scripts are ours: the small model that recorded the parcel desk cannot write SQL. The right
answers stand here as text, and a test computes them anew from the tables.
"""

from __future__ import annotations

from looplet.examples.scripted import Call, Task

LOOK: tuple[Call, ...] = (("list_tables", {}), ("describe", {"table": "orders"}))
BY_SHOP = "SELECT shop, sum(cents) AS cents FROM orders GROUP BY shop ORDER BY cents DESC"
BY_COUNTRY = (
    "SELECT country, sum(cents) AS cents FROM orders JOIN shops USING (shop) "
    "GROUP BY country ORDER BY cents DESC"
)
BY_DAY = (
    "SELECT day, sum(cents) AS cents FROM orders WHERE day >= '2025-10-01' "
    "GROUP BY day ORDER BY cents DESC LIMIT 3"
)
ORDERS_OF = "SELECT * FROM orders WHERE day LIKE '2025-{}-%' ORDER BY day, shop, fruit, kilos"
REPORT: Call = (
    "save_report",
    {
        "path": "best_day.md",
        "text": "# The best day\n\n2025-12-27 was the best day of the last three months: "
        "85430 cents.\n",
    },
)

TASKS = (
    Task(
        task_id="best-shop",
        goal="Which shop took the most money in 2025, and how much?",
        expected={"name": "Bergen", "cents": 3757790},
        calls=(
            *LOOK,
            ("query", {"sql": BY_SHOP}),
            ("done", {"answer": "Bergen took the most: 3757790 cents."}),
        ),
    ),
    Task(
        task_id="best-country",
        goal="In which country was the most money taken in 2025, and how much?",
        expected={"name": "Portugal", "cents": 6949100},
        calls=(
            *LOOK,
            ("query", {"sql": "SELECT country, sum(cents) FROM orders GROUP BY country"}),
            ("describe", {"table": "shops"}),
            ("query", {"sql": BY_COUNTRY}),
            ("done", {"answer": "In Portugal: 6949100 cents."}),
        ),
    ),
    Task(
        task_id="report",
        goal="Which day from October to December 2025 took the most money? Save a report on it.",
        expected={"name": "2025-12-27", "cents": 85430},
        calls=(
            *LOOK,
            ("query", {"sql": ORDERS_OF.format(10)}),
            ("query", {"sql": ORDERS_OF.format(11)}),
            ("query", {"sql": ORDERS_OF.format(12)}),
            ("query", {"sql": BY_DAY}),
            REPORT,
            REPORT,
            ("done", {"answer": "2025-12-27, with 85430 cents; see best_day.md."}),
        ),
    ),
)
"""The last one shows most: long results, a report that waits, and a run that goes on."""
