"""The one place that imports pyarrow. Knows nothing of trajectories.

``pq.read_table`` is not used in this package, and ``pyarrow.dataset`` is loaded only by those who
filter or ask by SQL: both import pandas where it is installed, which costs a third of a second.
``pyarrow.compute`` takes a twentieth, and is loaded by those who look into lists.
"""

from __future__ import annotations

from typing import Any

from looplet.errors import MissingExtra

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import fs
except ImportError as error:  # pragma: no cover - the extra is installed where tests run
    raise MissingExtra("pyarrow", needed_for="A trajectory store", extra="evals") from error

__all__ = ["fs", "load_compute", "load_dataset", "pa", "pq"]


def load_compute() -> Any:
    """The module ``pyarrow.compute``."""
    import pyarrow.compute

    return pyarrow.compute


def load_dataset() -> Any:
    """The module ``pyarrow.dataset``."""
    import pyarrow.dataset

    return pyarrow.dataset
