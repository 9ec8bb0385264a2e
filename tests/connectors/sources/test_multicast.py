"""A multicast group, in a network of its own so that nothing is sent anywhere else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.process import program

ROOT = Path(__file__).parents[3]
NETWORK = """
ip link set lo up
ip link set lo multicast on
ip route add 224.0.0.0/4 dev lo
exec "$@"
"""
WATCH = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tests.servers.film import watch
from tests.servers.sender import send
film, folder = Path(sys.argv[1]), Path(sys.argv[2])
with ThreadPoolExecutor(1) as pool:
    running = pool.submit(watch, "udp://@239.255.12.34:5004")
    sender = send(
        film, "udp://239.255.12.34:5004?pkt_size=1316&ttl=0", folder / "log", "-f", "mpegts"
    )
    found = running.result(60)
    sender.stop()
print(json.dumps({
    "exact": found.exact(), "sounds": found.sounds, "live": found.live,
    "error": type(found.error).__name__,
}))
"""


@pytest.mark.network
def test_a_group_is_joined(known_film: Path, tmp_path: Path) -> None:
    inside = ["sh", "-e", "-c", NETWORK, "sh", sys.executable, "-c", WATCH]
    done = subprocess.run(
        [program("unshare"), "--map-root-user", "--net", *inside, known_film, tmp_path],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["exact"], found["live"], found["error"]) == (True, True, "SourceStalled")
    assert found["sounds"] > 50
