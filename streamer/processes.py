"""Start pools of child processes that end with this one."""

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
    """Start processes that inherit nothing; an exception in the body ends them at once.

    Args:
        workers: Number of processes.
        initializer: Called in each before its first task.
    """
    others = set(active_children())
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        # They would otherwise finish their film or epoch first.
        for child in set(active_children()) - others:
            child.terminate()
        raise
    finally:
        # Without it Python warns about leaked semaphores.
        pool.shutdown()
