"""What there is to note about somebody's pictures, as text and not as warnings of Python."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["noted"]


@contextmanager
def noted() -> Iterator[list[str]]:
    """A list that has, at the end of the block, what the block had to note: the text of each UserWarning.

    Warnings of other kinds are for programmers. They may be about something else, such as another thread's files.
    """
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", UserWarning)
        yield notes
    notes += [str(one.message) for one in found if issubclass(one.category, UserWarning)]
