"""Broadcasts with faults, over real sockets, from a process of its own.

Every connection is written down as one JSON line: what was sent, where its cuts were, and how it
ended. Faults come from a seed: stopping, closing, garbage, no answer, gaps in time, clocks that
are set anew or wrap at 33 bits, and other picture sizes and sample rates from one programme to the
next.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import random
import socket
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any

import av

from tests.soak.programme import RATE, SECONDS, TICKS, Programme, library

WRAP = 1 << 33
ANSWER = b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n"
LINGER_SECONDS = 30.0
BUFFER = 1 << 16


@dataclass
class Sent:
    """One connection.

    Attributes:
        stream: Whose.
        number: Counts the stream's connections.
        media: Seconds of media sent.
        cuts: Seconds from the first picture at which another shot begins.
        stretches: Start and end of what is whole: media is missing between them.
        end: Seconds from the first picture to the end of the last one.
        faults: What was done to it, in order.
        ended: ``stop``, ``close``, ``silent``, ``garbage`` or ``done``.
    """

    stream: str
    number: int
    media: float = 0.0
    cuts: list[float] = field(default_factory=list)
    stretches: list[tuple[float, float]] = field(default_factory=list)
    end: float = 0.0
    faults: list[str] = field(default_factory=list)
    ended: str = "done"


class Feed:
    """What one stream's connections get.

    Args:
        name: Of the stream.
        seed: Of its faults.
        seconds: Media to send in all.
        programmes: To choose from.
        until: Monotonic seconds after which everything counts as sent.
    """

    def __init__(
        self,
        name: str,
        seed: str,
        seconds: float,
        programmes: list[Programme],
        until: float = math.inf,
    ) -> None:
        self.name, self._left, self._programmes = name, seconds, programmes
        self._until = until
        self._random = random.Random(seed)
        self._number = 0
        self._last = -1

    def serve(self, connection: socket.socket) -> Sent | None:
        """Fills one connection; None when everything was sent already."""
        if self._left <= 0:
            _linger(connection)
            return None
        sent = Sent(self.name, self._number)
        self._number += 1
        chance = self._random.random()
        if sent.number and chance < 0.08:
            sent.ended = "silent"
            _linger(connection)
            return sent
        connection.sendall(ANSWER)
        if sent.number and chance < 0.18:
            sent.ended = "garbage"
            connection.sendall(self._random.randbytes(self._random.randrange(20_000, 200_000)))
            return sent
        sent.ended = self._broadcast(connection, sent)
        self._left = 0.0 if sent.ended == "done" else self._left - sent.media
        if sent.ended in {"stop", "done"}:
            _linger(connection)
        return sent

    def _broadcast(self, connection: socket.socket, sent: Sent) -> str:
        random = self._random
        wire = connection.makefile("wb", buffering=1 << 16)
        origin = random.randrange(5000 * TICKS, WRAP // 2)
        if random.random() < 0.25:
            sent.faults.append("wrap")
            origin = WRAP - random.randrange(5 * TICKS, 90 * TICKS)
        mux = Mux(wire)
        base = begun = 0
        for turn in range(random.randint(1, 8)):
            change = random.random()
            if turn and change < 0.2:
                # Missing media: it is missing in what comes out as well.
                sent.faults.append("gap")
                sent.stretches.append((begun / TICKS, sent.end))
                base += random.randrange(3 * TICKS, 9 * TICKS)
                begun = base
            elif turn and change < 0.35:
                # A clock set anew: time goes on as if nothing had happened.
                sent.faults.append("jump")
                origin += random.choice((1, -1)) * random.randrange(20 * TICKS, 600 * TICKS)
                mux.flush()
                mux = Mux(wire)
            if turn and random.random() < 0.2:
                sent.faults.append("garbage")
                mux.junk(random.randbytes(random.randrange(1, 3000)))
            if turn and begun != base:
                sent.cuts.append(base / TICKS)
            programme = self._next(sent)
            cut_off = SECONDS * TICKS
            torn = random.random() < 0.3
            if torn:
                cut_off = random.randrange(12 * TICKS, SECONDS * TICKS)
            for unit in programme.units:
                if unit.at >= cut_off:
                    break
                mux.unit(unit.kind, unit.data, origin + base + unit.at, key=unit.key)
            last = (min(cut_off, SECONDS * TICKS) - 1) // (TICKS // RATE) * (TICKS // RATE)
            sent.cuts += [(base + at) / TICKS for at in programme.cuts if at <= last]
            sent.end = (base + last + TICKS // RATE) / TICKS
            sent.media += (last + TICKS // RATE) / TICKS
            base += SECONDS * TICKS
            if torn or self._through(sent):
                break
        sent.stretches.append((begun / TICKS, sent.end))
        mux.flush()
        wire.flush()
        if self._through(sent):
            return "done"
        return random.choice(("stop", "close"))

    def _through(self, sent: Sent) -> bool:
        return sent.media >= self._left or time.monotonic() >= self._until

    def _next(self, sent: Sent) -> Programme:
        choice = self._random.choice([n for n in range(len(self._programmes)) if n != self._last])
        if self._last >= 0 and choice % 3 != self._last % 3:
            sent.faults.append("format")
        self._last = choice
        return self._programmes[choice]


class Mux:
    """An MPEG transport stream whose clock runs over 33 bits.

    Args:
        wire: Where bytes go.
    """

    def __init__(self, wire: Any) -> None:
        self._wire = wire
        options = {"mpegts_flags": "resend_headers", "flush_packets": "1"}
        self._container = av.open(_Writer(wire), "w", format="mpegts", options=options)
        self._streams = {
            "video": self._container.add_stream("libx264", rate=RATE),
            "audio": self._container.add_stream("mp2", rate=48_000, layout="mono"),
        }
        picture: Any = self._streams["video"]
        picture.width, picture.height, picture.pix_fmt = 96, 64, "yuv420p"

    def unit(self, kind: str, data: bytes, at: int, *, key: bool) -> None:
        """Sends a packet at a time in ticks, which may be beyond 33 bits."""
        packet = av.Packet(data)
        packet.stream = self._streams[kind]
        packet.time_base = Fraction(1, TICKS)
        packet.pts = packet.dts = at
        packet.is_keyframe = key
        self._container.mux(packet)

    def junk(self, data: bytes) -> None:
        """Sends bytes that are no packets."""
        self._wire.write(data)

    def flush(self) -> None:
        """Brings out what the muxer holds back."""
        self._container.close()


class _Writer:
    def __init__(self, wire: Any) -> None:
        self._wire = wire

    def write(self, data: bytes) -> int:
        self._wire.write(data)
        return len(data)


def _linger(connection: socket.socket) -> None:
    """Says nothing until the other end leaves."""
    connection.settimeout(LINGER_SECONDS)
    with contextlib.suppress(OSError):
        while connection.recv(4096):
            pass


def main() -> None:
    """Serves ``GET /NAME`` until standard input ends; prints the port, then every connection."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--until", type=float, default=math.inf)
    given = parser.parse_args()
    until = time.monotonic() + given.until
    programmes = library()
    names = [f"s{number}" for number in range(given.streams)]
    feeds = {n: Feed(n, f"{given.seed}-{n}", given.seconds, programmes, until) for n in names}
    locks = {name: threading.Lock() for name in names}
    talk = threading.Lock()

    def tell(line: dict[str, Any]) -> None:
        with talk:
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                asked = connection.recv(65536).decode("latin-1")
                name = asked.split(" ")[1].strip("/")
                # One connection of a stream after the other, as its faults are drawn in order.
                with locks[name]:
                    sent = feeds[name].serve(connection)
                if sent is not None:
                    tell(asdict(sent))
            except OSError as error:
                tell({"broken": type(error).__name__, "asked": asked[:40]})

    with socket.create_server(("127.0.0.1", 0)) as server:
        # Else minutes of media wait in the system, and arrive long after everything was sent.
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        tell({"port": server.getsockname()[1]})
        threading.Thread(target=_until_told, daemon=True).start()
        while True:
            connection, _ = server.accept()
            threading.Thread(target=answer, args=(connection,), daemon=True).start()


def _until_told() -> None:
    sys.stdin.read()
    # Every line was flushed, and a thread that waits for a connection cannot be told.
    os._exit(0)


if __name__ == "__main__":
    main()
