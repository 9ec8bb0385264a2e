"""PulseAudio with a sink that nobody hears, and what ALSA programs need to record from it."""

from __future__ import annotations

import os
from pathlib import Path

from tests.servers.process import Process

ALSA = "pcm.!default { type pulse }\nctl.!default { type pulse }\n"


class Pulse:
    """One sound server for one test.

    Args:
        folder: Short: the path of a socket has to fit.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        socket = folder / "p"
        (folder / "alsa.conf").write_text(f"</usr/share/alsa/alsa.conf>\n{ALSA}")
        self.environment = {
            **os.environ,
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder),
            "PULSE_SERVER": f"unix:{socket}",
            "ALSA_CONFIG_PATH": str(folder / "alsa.conf"),
        }
        load = [
            f"module-native-protocol-unix auth-anonymous=1 socket={socket}",
            "module-null-sink sink_name=quiet rate=48000",
        ]
        self._process = Process(
            ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"]
            + [f"--load={module}" for module in load],
            folder / "pulse.log",
            {name: value for name, value in self.environment.items() if name != "PULSE_SERVER"},
        )
        self._process.until(socket.exists, "PulseAudio")

    def play(self, film: Path) -> Process:
        """Plays a sound file into the sink."""
        return Process(
            ["paplay", "--device=quiet", film], self._folder / "play.log", self.environment
        )

    def stop(self) -> None:
        self._process.stop()
