"""Running out of memory, said clearly."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import torch

from streamer.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator

TRAINING_ADVICE: Final = "use a smaller --batch, fewer --jobs or --size compact"
SCORING_ADVICE: Final = "measure fewer movies at a time, or features with fewer dimensions"


@contextmanager
def memory_errors(advice: str = TRAINING_ADVICE) -> Iterator[None]:
    """Turns every way in which memory can run out into one error.

    Args:
        advice: What could help.

    Raises:
        DatasetError: Memory ran out inside, or a process inside was killed.
    """
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise DatasetError(f"out of memory: {advice}") from error
    except BrokenProcessPool as error:
        # Nobody but the system kills these processes, and it does so when memory is short.
        raise DatasetError(
            f"a process of the training was killed, most likely out of memory: {advice}"
        ) from error
    except RuntimeError as error:
        # The CPU allocator has no exception class of its own.
        if "can't allocate memory" not in str(error):
            raise
        raise DatasetError(f"out of memory: {advice}") from error
