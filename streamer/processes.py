"""Processes that share a task with this one, and end with it."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def spawned_pool(
    workers: int, initializer: Callable[[], None] | None = None
) -> Iterator[ProcessPoolExecutor]:
    """Start processes that inherit nothing; whatever interrupts the body ends them at once.

    Args:
        workers: How many.
        initializer: Called in each before its first task.
    """
    others = set(active_children())
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        # They would finish a film, or an epoch, that nobody waits for.
        for child in set(active_children()) - others:
            child.terminate()
        raise
    finally:
        # Without it Python tells of semaphores that nobody has given back.
        pool.shutdown()
