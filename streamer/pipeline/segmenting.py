"""What a run needs of whoever takes its shots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from streamer.events.payload import EventData
    from streamer.pipeline.epoch import Epoch
    from streamer.timeline import EmbeddedShot, Shot


class Segmenting(Protocol):
    """Takes the closed shots of one stream, over as many epochs as it takes."""

    @property
    def epoch(self) -> Epoch | None:
        """The current epoch; None before the first."""

    @property
    def last(self) -> tuple[int, Shot] | None:
        """Epoch and last shot that was taken; None before the first."""

    def begin(self, epoch: Epoch) -> list[EventData]:
        """Starts an epoch; the next shots lie in it.

        Returns:
            Events to send.
        """

    def push(
        self, shot: EmbeddedShot, wallclock: float | None = None, arrival: float | None = None
    ) -> list[EventData]:
        """Takes the next closed shot of the current epoch.

        Args:
            shot: The shot.
            wallclock: Its first picture's, seconds since the Unix epoch, as the source says.
            arrival: Its first picture's, seconds since the Unix epoch.

        Returns:
            Events to send.
        """

    def finish(self) -> list[EventData]:
        """Ends the stream for good.

        Returns:
            Events to send.
        """
