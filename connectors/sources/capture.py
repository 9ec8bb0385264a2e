"""Cameras and screens of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamer.connectors.sources.source import Opening, SourceBase
from streamer.errors import SourceUnsupported

if TYPE_CHECKING:
    from streamer.config.sections import SourceSection

# Kind → FFmpeg's input for it, and its options.
INPUTS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "camera": ("video4linux2,v4l2", {"timestamps": "abs"}),
    "screen": ("x11grab", {"framerate": "25", "draw_mouse": "0"}),
}


class CaptureSource(SourceBase):
    """Records pictures from a device; without sound.

    Args:
        kind: ``camera`` or ``screen``.
        device: A Video4Linux device file, or an X display.
        settings: Deadlines.
    """

    def __init__(self, kind: str, device: str, settings: SourceSection) -> None:
        super().__init__(f"{kind}:{device}", live=True, endless=True)
        self._kind, self._device, self._settings = kind, device, settings

    def open(self) -> Opening:
        """The device and its deadlines.

        Raises:
            SourceUnsupported: The linked FFmpeg has no such input.
        """
        import av

        name, options = INPUTS[self._kind]
        short = name.partition(",")[0]
        if short not in {known.partition(",")[0] for known in av.formats_available}:
            raise SourceUnsupported(f"{self.name}: the linked FFmpeg cannot record from it")
        return Opening(
            self._device,
            format=name.rpartition(",")[2],
            formats=frozenset({name}),
            protocols=("file",),
            options=options,
            open_seconds=self._settings.open_seconds,
            stall_seconds=self._settings.stall_seconds,
        )
