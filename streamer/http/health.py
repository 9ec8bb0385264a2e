"""Is the process ready, and if not, why not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Final

Check = Callable[[], str | None]
"""Says in a few words what is amiss, or None; holds no secrets, may be called from any thread."""

Parts = Callable[[], Mapping[str, str]]
"""Says what is amiss with parts of what a check asks about; must not wait, holds no secrets."""

CHECK_SECONDS: Final = 1.0
"""A check that takes longer counts as failed."""


@dataclass(frozen=True, slots=True)
class Health:
    """What the checks said.

    Attributes:
        reasons: Name of a check → what is amiss, None where nothing is.
        parts: Name of a check → part → what is amiss with it, which alone is no reason.
    """

    reasons: dict[str, str | None]
    parts: dict[str, Mapping[str, str]]

    @property
    def ready(self) -> bool:
        """Nothing is amiss."""
        return all(reason is None for reason in self.reasons.values())


class Checks:
    """Named checks that come and go while a server runs."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._parts: dict[str, Parts] = {}
        self._asking: dict[str, tuple[Check, Future[str | None]]] = {}
        self._lock = threading.Lock()

    def add(self, name: str, check: Check, parts: Parts | None = None) -> None:
        """Asks ``check`` from now on, and for its ``parts``; replaces those of the same name."""
        with self._lock:
            self._checks[name] = check
            self._parts.pop(name, None)
            if parts is not None:
                self._parts[name] = parts

    def remove(self, name: str) -> None:
        """Asks it no longer."""
        with self._lock:
            self._checks.pop(name, None)
            self._parts.pop(name, None)

    async def ask(self) -> Health:
        """Ask all of them side by side, each for at most a second.

        A check that has not answered yet is not asked again: all who ask meanwhile get its
        answer, so that threads stay few however often the health is asked for.
        """
        with self._lock:
            checks, parts = dict(self._checks), dict(self._parts)
        reasons = await asyncio.gather(*(self._ask(name, each) for name, each in checks.items()))
        told = {name: each() for name, each in parts.items()}
        return Health(dict(zip(checks, reasons, strict=True)), told)

    async def _ask(self, name: str, check: Check) -> str | None:
        with self._lock:
            asked, answer = self._asking.get(name, (None, None))
            if answer is None or asked is not check or answer.done():
                answer = Future()
                # Waiting for it may be given up, the check cannot.
                answer.set_running_or_notify_cancel()
                self._asking[name] = check, answer
                run = partial(_run, check, answer)
                threading.Thread(target=run, name=f"check-{name}", daemon=True).start()
        try:
            return await asyncio.wait_for(asyncio.wrap_future(answer), CHECK_SECONDS)
        except TimeoutError:
            return f"no answer within {CHECK_SECONDS:g} s"


def _run(check: Check, answer: Future[str | None]) -> None:
    try:
        reason = check()
    except Exception as error:  # noqa: BLE001  (whatever it is, it is not ready)
        reason = f"the check failed: {type(error).__name__}"
    answer.set_result(reason)
