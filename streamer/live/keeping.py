"""Decide what a stream keeps across processes, and when it may continue from it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from streamer.errors import StateDamaged, StateError
from streamer.live.state import Head, Saved
from streamer.pipeline.progress import ResumeState

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamer.live.state import StateFile
    from streamer.pipeline.progress import Counts, SavePoint
    from streamer.pipeline.segmentation import StreamSegmentation


class StateKeeper:
    """Saves and restores one stream.

    Args:
        file: Where its state is.
        source: Fingerprint of its location.
        segmentation: The stream's; restored when what was saved fits it.
        damaged: Called with the reason when the saved state is lost.
        clock: Seconds since the Unix epoch.
    """

    def __init__(
        self,
        file: StateFile,
        source: str,
        segmentation: StreamSegmentation,
        *,
        damaged: Callable[[StateError], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._file, self._source, self._segmentation = file, source, segmentation
        self._damaged, self._clock = damaged, clock

    def restore(self, number: int | None, counts: Counts) -> ResumeState:
        """Continue from what was saved, if anything was.

        A state that is damaged is put aside, and the stream continues as after a loss, in an epoch
        with a higher number than any before.

        Args:
            number: Of the first epoch of a new stream, where that is settled.
            counts: Restored.

        Raises:
            StateError: The state cannot be read, or a newer version of the program wrote it.
            StateUnwritable: The new epoch cannot be kept.
        """
        try:
            saved = self._file.load()
        except StateDamaged as error:
            epoch = self._file.lose(number, self._clock())
            self._damaged(
                StateDamaged(f"{error}; put aside, the stream continues in epoch {epoch}")
            )
            return ResumeState(epoch - 1, damage="the saved state was damaged")
        if saved is None:
            return ResumeState(number)
        head = saved.head
        counts.shots, counts.scenes, counts.boundaries = head.shots, head.scenes, head.boundaries
        same = head.source == self._source
        if head.ended:
            # Nothing can follow in a window that was closed.
            return ResumeState(
                head.epoch,
                base=head.base,
                lost_at=head.wall,
                same=same,
                ended=same,
                beginning=head.beginning,
            )
        try:
            self._segmentation.restore(saved.segmentation)
        except StateError:
            # Other weights or another look-ahead: the window says nothing to them.
            return ResumeState(head.epoch, base=head.base, lost_at=head.wall)
        return ResumeState(
            head.epoch,
            saved.mark if head.exact else None,
            head.base,
            head.wall,
            same=same,
            beginning=head.beginning,
        )

    def save(self, point: SavePoint) -> None:
        """Write where the stream is now; nothing before its first epoch.

        Args:
            point: Totals and place after the last shot.

        Raises:
            StateUnwritable: It cannot be written.
        """
        segmentation, counts, place = self._segmentation, point.counts, point.resume
        if segmentation.epoch is None:
            return
        head = Head(
            stream=segmentation.stream,
            source=self._source,
            epoch=segmentation.epoch.number,
            exact=point.exact,
            ended=place.ended,
            wall=self._clock(),
            base=place.base,
            shots=counts.shots,
            scenes=counts.scenes,
            boundaries=counts.boundaries,
            beginning=place.beginning,
        )
        self._file.save(Saved(head, segmentation.state(), place.mark))
