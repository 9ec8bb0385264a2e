"""Running out of memory, said clearly."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from streamer.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turns every way in which memory can run out into one error.

    Raises:
        DatasetError: Memory ran out inside.
    """
    advice = "out of memory: use a smaller --batch, fewer --jobs or --size compact"
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise DatasetError(advice) from error
    except RuntimeError as error:
        # The CPU allocator has no exception class of its own.
        if "can't allocate memory" not in str(error):
            raise
        raise DatasetError(advice) from error
