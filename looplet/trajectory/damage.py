"""What is said of files that are not what was written. Knows errors; knows no format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike

from looplet.errors import StoreDamaged, StoreError
from looplet.trajectory.arrow import pa


def damaged(path: str | PathLike[str], error: Exception) -> StoreDamaged:
    """The error that names a damaged file and says what to do."""
    return StoreDamaged(
        f"{path} is damaged and was left as it is: {error}. "
        "Restore the file from a copy, or move it out of the dataset to go on without its rows."
    )


@contextmanager
def reading(path: str | PathLike[str]) -> Iterator[None]:
    """Turn what goes wrong inside into ``StoreDamaged`` that names the file."""
    try:
        yield
    except FileNotFoundError as error:
        raise StoreError(f"{path} went away while the dataset was read; read it again") from error
    except (pa.ArrowException, LookupError, ValueError, TypeError, OSError) as error:
        if isinstance(error, StoreError) or getattr(error, "errno", None):
            raise
        raise damaged(path, error) from error
