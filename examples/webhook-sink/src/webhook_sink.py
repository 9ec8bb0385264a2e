"""Send events to a web server as CloudEvents over HTTP."""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import TYPE_CHECKING

import requests
from cloudevents.core.formats.json import JSONFormat
from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_delay,
    wait_random_exponential,
)

from streamer.plugins import Event, Sink

if TYPE_CHECKING:
    from tenacity import RetryCallState

VARIABLE = "WEBHOOK_SECRET"
RETRY_SECONDS = 30.0
TIMEOUT_SECONDS = 5.0


class Unavailable(Exception):
    """The server does not take the event now, and may later."""


class WebhookSink(Sink):
    """POST each event in the structured JSON format, once the one before was accepted.

    ``webhook://HOST:PORT/PATH`` is ``http://``, ``webhooks://`` is ``https://``. With a secret in
    the variable ``WEBHOOK_SECRET``, the header ``X-Signature-256`` holds the HMAC of the body.
    """

    def open(self) -> None:
        """Make the session; nothing is sent yet."""
        scheme, _, rest = self.url.partition("://")
        if not rest:
            raise ValueError("give an address such as webhook://HOST:PORT/PATH")
        self._address = f"{'https' if scheme == 'webhooks' else 'http'}://{rest}"
        self._session = requests.Session()
        self._secret = os.environ.get(VARIABLE, "").encode()

    def write(self, event: Event) -> None:
        """Send one event; a server that is away is tried again for half a minute."""
        body = JSONFormat().write(self.cloud_event)
        headers = {"Content-Type": "application/cloudevents+json"}
        if self._secret:
            digest = hmac.new(self._secret, body, hashlib.sha256).hexdigest()
            headers["X-Signature-256"] = f"sha256={digest}"
        retrying = Retrying(
            retry=retry_if_exception_type(Unavailable),
            wait=wait_random_exponential(multiplier=0.2, max=5.0),
            stop=stop_after_delay(RETRY_SECONDS) | self._aborted,
            sleep=self._sleep,
            reraise=True,
        )
        retrying(self._post, body, headers)

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _post(self, body: bytes, headers: dict[str, str]) -> None:
        try:
            answer = self._session.post(
                self._address, data=body, headers=headers, timeout=TIMEOUT_SECONDS
            )
        except (requests.ConnectionError, requests.Timeout) as error:
            raise Unavailable(f"no answer ({type(error).__name__})") from None
        if answer.status_code == 429 or answer.status_code >= 500:
            raise Unavailable(f"HTTP {answer.status_code}")
        if not answer.ok:
            raise RuntimeError(f"the server refuses the event: HTTP {answer.status_code}")

    def _aborted(self, state: RetryCallState) -> bool:
        return self.context.abort.is_set()

    def _sleep(self, seconds: float) -> None:
        self.context.abort.wait(seconds)
