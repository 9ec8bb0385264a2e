"""What can be recorded from on this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from streamer.connectors.sources.microphone import portaudio
from streamer.errors import SourceUnsupported


@dataclass(frozen=True, slots=True)
class Device:
    """Something to record from.

    Attributes:
        kind: What it gives.
        location: What to type for it.
        name: What the system calls it.
        detail: Channels and rate of sound; empty for pictures.
    """

    kind: Literal["sound", "camera", "screen"]
    location: str
    name: str
    detail: str = ""


def sounds() -> list[Device]:
    """Sound inputs, the default first.

    Raises:
        SourceUnsupported: PortAudio is missing.
    """
    sound = portaudio()
    found: list[Device] = []
    try:
        default = sound.query_devices(kind="input")["index"]
    except (ValueError, sound.PortAudioError):
        default = None
    for device in sound.query_devices():
        if device["max_input_channels"] < 1:
            continue
        rate = f"{device['default_samplerate']:g} Hz"
        detail = f"{device['max_input_channels']} channels, {rate}"
        if device["index"] == default:
            found.insert(0, Device("sound", "mic:", f"default: {device['name']}", detail))
        found.append(Device("sound", f"mic:{device['index']}", device["name"], detail))
    return found


def cameras(
    devices: Path = Path("/dev"), names: Path = Path("/sys/class/video4linux")
) -> list[Device]:
    """Video4Linux devices.

    Args:
        devices: Where the system keeps device files.
        names: Where it keeps their names.
    """
    found = []
    for path in sorted(devices.glob("video[0-9]*")):
        label = names / path.name / "name"
        name = label.read_text("utf-8", "replace").strip() if label.exists() else path.name
        found.append(Device("camera", f"camera:{path}", name))
    return found


def screens() -> list[Device]:
    """The X display of this session, if there is one."""
    display = os.environ.get("DISPLAY")
    return [Device("screen", f"screen:{display}", f"X display {display}")] if display else []


def devices() -> tuple[list[Device], list[str]]:
    """Everything there is, and what could not be looked for.

    Returns:
        Devices, and one line for each kind that this machine lacks the means for.
    """
    missing = []
    try:
        heard = sounds()
    except SourceUnsupported as error:
        heard = []
        missing.append(str(error))
    return [*heard, *cameras(), *screens()], missing
