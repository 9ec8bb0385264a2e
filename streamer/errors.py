"""Every error this project raises on purpose, as one tree.

    StreamerError                     1
    ├── ConfigError                  10   a setting is unknown, of a wrong type or out of range
    ├── SourceError                  20   the input cannot be segmented
    │   ├── SourceNotFound           21
    │   ├── SourceIsFolder           22
    │   ├── SourcePermission         23
    │   ├── SourceEmpty              24
    │   ├── NotMedia                 25
    │   ├── NoUsableStream           26   neither video nor audio
    │   ├── UnknownCodec             27
    │   ├── SourceDamaged            28   events up to the damage were kept
    │   ├── SourceUnsupported        13   needs a protocol or device that is not here
    │   ├── SourceRefused            14   the server wants other credentials
    │   ├── SourceForbidden          15   the input reaches or asks for more than is allowed
    │   └── SourceInterrupted        16   connecting again may help
    │       ├── SourceUnreachable    17   no connection, or no answer in time
    │       ├── SourceStalled        18   nothing usable came for too long
    │       ├── SourceClosed         19   a live input ended, or a connection broke
    │       └── SourceReplaced       29   a followed file was replaced or cut short
    ├── WeightsError                 30
    │   ├── WeightsMissing           31
    │   ├── WeightsCorrupt           32   a checksum, a shape or a name is wrong
    │   └── WeightsUnavailable       33   could not be fetched
    ├── CheckpointError              35   an experts-and-mixer checkpoint is unusable
    ├── StateError                   36   what a stream saved of itself is unusable
    │   ├── StateUnwritable          37   it cannot be saved: the disk is full, say
    │   └── StateDamaged             38   it is not what was written
    ├── DeviceError                  40   the requested device is not there
    ├── ExtraMissing                 41   needs packages of an extra that are not installed
    ├── ExtractionError              42   a network gave no tokens in time
    ├── PluginError                  43   a plug-in cannot be used, or failed
    ├── HttpError                    45   metrics, health and state cannot be served
    ├── SinkError                    50   events could not be delivered
    ├── FleetError                   55   a worker of the fleet cannot go on
    ├── DatasetError                 60   a training dataset is invalid
    └── ComposeError                 65   a synthetic film could not be composed

The numbers are the exit codes of the command line. 2 is a usage error, also where an option gives
a setting a wrong value, 70 an internal error,
130 an interrupted run.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

ErrorKind = Literal["unreachable", "tls", "login", "rights", "replicas", "size", "clock", "other"]
"""What a Kafka broker or client reports, as the value of a metric's label."""


class StreamerError(Exception):
    """Root of the tree.

    Args:
        message: One line, for people: what is wrong and, where it helps, what to do next.
    """

    exit_code: ClassVar[int] = 1


class ConfigError(StreamerError):
    """A configuration key is unknown, or its value has a wrong type or range.

    Attributes:
        option: The dotted key or the parameter that the command line gave such a value, and what
            is wrong with it; None where the value came from elsewhere. It is then a usage error.
    """

    exit_code = 10
    option: tuple[str, str] | None = None


class SourceError(StreamerError):
    """The input cannot be read or segmented."""

    exit_code = 20


class SourceNotFound(SourceError):
    """The input does not exist."""

    exit_code = 21


class SourceIsFolder(SourceError):
    """The input is a folder."""

    exit_code = 22


class SourcePermission(SourceError):
    """The input may not be read."""

    exit_code = 23


class SourceEmpty(SourceError):
    """The input has zero bytes."""

    exit_code = 24


class NotMedia(SourceError):
    """No demuxer recognises the input."""

    exit_code = 25


class NoUsableStream(SourceError):
    """The container holds neither video nor audio."""

    exit_code = 26


class UnknownCodec(SourceError):
    """No decoder is linked for the input's streams."""

    exit_code = 27


class SourceDamaged(SourceError):
    """The input is truncated or corrupt; events up to the damage were kept."""

    exit_code = 28


class SourceUnsupported(SourceError):
    """The input needs a protocol, a device or a library that is not here."""

    exit_code = 13


class SourceRefused(SourceError):
    """The server refuses these or wants other credentials."""

    exit_code = 14


class SourceForbidden(SourceError):
    """The input reaches for other places, or asks for more memory or work, than is allowed."""

    exit_code = 15


class SourceInterrupted(SourceError):
    """A live input is away for now; connecting again may help."""

    exit_code = 16


class SourceUnreachable(SourceInterrupted):
    """There was no connection, or no answer in time."""

    exit_code = 17


class SourceStalled(SourceInterrupted):
    """Nothing usable came for longer than allowed."""

    exit_code = 18


class SourceClosed(SourceInterrupted):
    """A live input ended, or its connection broke."""

    exit_code = 19


class SourceReplaced(SourceInterrupted):
    """A followed file was replaced by another, or cut short."""

    exit_code = 29


class WeightsError(StreamerError):
    """Pretrained weights of an aspect cannot be used."""

    exit_code = 30


class WeightsMissing(WeightsError):
    """A weight file is not in the cache."""

    exit_code = 31


class WeightsCorrupt(WeightsError):
    """A weight file has a wrong checksum, name or shape."""

    exit_code = 32


class WeightsUnavailable(WeightsError):
    """A pinned release file could not be fetched."""

    exit_code = 33


class CheckpointError(StreamerError):
    """A checkpoint of experts and mixer is missing, wrong or does not fit the configuration."""

    exit_code = 35


class StateError(StreamerError):
    """Saved state does not fit, is a newer version's or is in use by another process."""

    exit_code = 36


class StateDamaged(StateError):
    """Saved state is not what was written: changed, cut off, or something else's."""

    exit_code = 38


class StateUnwritable(StateError):
    """State cannot be saved for now; what was saved before is as it was."""

    exit_code = 37


class DeviceError(StreamerError):
    """The requested compute device is not available."""

    exit_code = 40


class ExtraMissing(StreamerError, ImportError):
    """Packages of an optional extra are not installed."""

    exit_code = 41


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Name the extra to install when an import inside the block fails.

    Args:
        name: An extra of the distribution, e.g. ``train``.

    Raises:
        ExtraMissing: A module was not found; the message says which, and how to install it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ExtraMissing(
            f"{error.name} is not installed: needs pip install 'moae-streamer[{name}]'",
            name=error.name,
        ) from error


class ExtractionError(StreamerError):
    """An aspect's network gave no tokens in time, or was closed meanwhile."""

    exit_code = 42


class PluginError(StreamerError):
    """A plug-in cannot be imported, is no plug-in, has its name twice, or failed."""

    exit_code = 43


class HttpError(StreamerError):
    """Metrics, health and state cannot be served: the address is taken, say."""

    exit_code = 45


class SinkError(StreamerError):
    """Events could not be delivered."""

    exit_code = 50


class FleetError(StreamerError):
    """A worker of the fleet cannot go on; started again it may."""

    exit_code = 55


class DatasetError(StreamerError):
    """A training dataset is invalid."""

    exit_code = 60


class ComposeError(StreamerError):
    """A synthetic film could not be composed."""

    exit_code = 65
