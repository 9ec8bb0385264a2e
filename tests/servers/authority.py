"""A certificate authority of the tests' own, and a certificate by it for servers on loopback."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.servers.process import HOST, program

KEY = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"


class Authority:
    """Nobody knows it: who is to trust its certificates needs its own as ``source.ca_file``.

    Args:
        folder: For its files.
        name: Whom the certificate is for, as a subject alternative name.
    """

    def __init__(self, folder: Path, name: str = f"IP:{HOST}") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.file = folder / "authority.pem"
        self.certificate, self.key = folder / "server.pem", folder / "server.key"
        usage = "basicConstraints=critical,CA:FALSE"
        self._ask(f"-keyout authority.key -out {self.file.name} -subj /CN=authority")
        self._ask(
            f"-CA {self.file.name} -CAkey authority.key -keyout {self.key.name}"
            f" -out {self.certificate.name} -subj /CN=server"
            f" -addext subjectAltName={name} -addext {usage}"
        )

    def _ask(self, words: str) -> None:
        command = f"req -x509 {KEY} {words}".split()
        subprocess.run(
            [program("openssl"), *command], cwd=self._folder, check=True, capture_output=True
        )
