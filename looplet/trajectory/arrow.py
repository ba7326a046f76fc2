"""The one place that imports pyarrow. Knows nothing of trajectories.

``pq.read_table`` and ``pyarrow.dataset`` are not used in this package: they import pandas where it
is installed, which costs a third of a second.
"""

from __future__ import annotations

from looplet.errors import MissingExtra

try:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
except ImportError as error:  # pragma: no cover - the extra is installed where tests run
    raise MissingExtra("pyarrow", needed_for="A trajectory store", extra="evals") from error

__all__ = ["pa", "pc", "pq"]
