"""Compose the demo's sample film from photographs, voices and music of Debian packages."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import wave
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamer.errors import ComposeError, extra
from streamer.models.compose.compose import Order, compose_film, existing_film
from streamer.models.compose.paint import load_picture
from streamer.models.compose.plan import Style

with extra("train"):
    from PIL import Image

PHOTOGRAPHS = Path("/usr/share/backgrounds")
MUSIC = Path("/usr/share/asterisk/moh")
SEED = 121
VIEW_WIDTH = 1080
VOICE_SECONDS = 30

# File of a photograph → name of the place it shows.
PLACES = {
    "Bridge_by_Sander_Klootwijk.jpg": "estuary",
    "Dragonfly_by_Bolly.jpg": "garden",
    "Picture_1A_by_freespace.jpg": "studio",
    "Wine_by_Jakkub_Mede.jpg": "cellar",
    "aitzgorri_by_Aitzol_Berasategi.jpg": "pasture",
    "free_by_Peter_Nerlich.jpg": "nursery",
    "friends_by_Aitzol_Berasategi.jpg": "house",
    "greentock_by_Peter_Nerlich.jpg": "station",
    "life_by_Aitzol_Berasategi.jpg": "forest",
    "picosdeeuropa_by_Aitzol_Berasategi.jpg": "mountain",
    "seeding_by_Clements_Engelhardt.jpg": "meadow",
    "sunset_by_Aitzol_Berasategi.jpg": "summit",
}
PIECES = ("macroform-cold_day", "macroform-the_simplicity", "manolo_camp-morning_coffee")

# Voice and pitch of espeak-ng → what it says.
VOICES = {
    ("en-us+m3", 38): (
        "I counted the steps again this morning. There are more of them than there used to be, "
        "or I am slower than I was. You can laugh, but somebody moved the gate. Well, we shall "
        "see who is right when the snow comes. Bring the lamp, and mind the third stone."
    ),
    ("en-gb+f2", 62): (
        "Nobody moved anything. You said the same about the well, and the well has not gone "
        "anywhere in a hundred years. Sit down and eat. The letter came while you were out, "
        "and I have not opened it, because it has your name on it and not mine."
    ),
    ("en-us+f4", 52): (
        "They told me the road was closed, so I came along the river instead. It is a longer "
        "way, but the light is better, and there is always somebody fishing who wants to talk. "
        "I have brought the photographs. Do not show them to anyone before Thursday."
    ),
    ("en-gb-scotland+m7", 30): (
        "Thursday is too late, and you know it. If the boat leaves on Wednesday, then we leave "
        "on Wednesday, with the photographs or without them. I have packed what we need, and a "
        "few things that we do not. Somebody has to think of the weather."
    ),
    ("en-gb+m5", 45): (
        "Listen. Can you hear it? It begins very far away, like a train behind a hill, and then "
        "it is in the room with you. My grandmother said it was only the wind in the pipes. "
        "She never once went down to look."
    ),
}


@dataclass(frozen=True, slots=True)
class Ingredient:
    """Something the sample needs, and the Debian package that provides it."""

    package: str
    present: bool


def missing_packages() -> list[str]:
    """List the Debian packages that are missing to compose the sample."""
    needed = (
        Ingredient("espeak-ng", shutil.which("espeak-ng") is not None),
        Ingredient(
            "lomiri-wallpapers-16.04", all((PHOTOGRAPHS / name).is_file() for name in PLACES)
        ),
        Ingredient(
            "asterisk-moh-opsound-g722", all((MUSIC / f"{n}.g722").is_file() for n in PIECES)
        ),
    )
    return [item.package for item in needed if not item.present]


def compose_sample(
    out: Path, width: int = 640, height: int = 360, advance: Callable[[int], None] | None = None
) -> Path:
    """Compose ``sample.mp4`` with ``sample.scenes.csv`` and the other annotations.

    A complete sample of the same size is kept.

    Args:
        out: Folder for the files.
        width: Pixels, even.
        height: Pixels, even.
        advance: Called with the number of pictures done.

    Returns:
        The film.

    Raises:
        ComposeError: A Debian package is missing, or a file cannot be read or written.
    """
    order = Order(
        media=out,
        out=out,
        movies=1,
        minutes=2.9,
        seed=SEED,
        width=width,
        height=height,
        rate=Fraction(24),
        title="sample",
        style=Style(
            crf=20,
            preset="ultrafast",
            b_frames=2,
            shape=16 / 9,
            squeeze=1.0,
            grain=0.0,
            sound="full",
            sound_codec="aac",
            sample_rate=48_000,
            bit_rate=128_000,
            stereo=True,
            cutoff=20_000.0,
            gain=3.0,
        ),
        median_shots=5.0,
        most_shots=8,
        pace=1.2,
    )
    order.check()
    film = out / "sample.mp4"
    if film.exists() and existing_film(order, 0) == "same":
        return film
    missing = missing_packages()
    if missing:
        raise ComposeError(
            f"the sample film needs {', '.join(missing)}: "
            f"run `apt-get install --no-install-recommends {' '.join(missing)}` as root"
        )
    with tempfile.TemporaryDirectory(prefix="streamer-sample-") as folder:
        media = Path(folder)
        build_media(media)
        compose_film(replace(order, media=media), 0, advance)
    return film


def build_media(root: Path) -> None:
    """Fill a media folder with views cut from photographs, spoken text, music and room tone.

    Raises:
        ComposeError: A photograph is unreadable or the synthesiser fails.
    """
    for name, place in PLACES.items():
        folder = root / "places" / place
        folder.mkdir(parents=True)
        for index, view in enumerate(cut_views(load_picture(PHOTOGRAPHS / name))):
            view.save(folder / f"{index}.jpg", quality=92)
    for name in ("speech", "music", "ambience"):
        (root / name).mkdir()
    for index, ((voice, pitch), text) in enumerate(VOICES.items()):
        speak(text, voice, pitch, root / "speech" / f"espeak__{index}-0.wav")
    for piece in PIECES:
        shutil.copyfile(MUSIC / f"{piece}.g722", root / "music" / f"{piece}.g722")
    for index, (name, tone) in enumerate(TONES.items()):
        samples = draw_tone(tone, 20.0, 24_000, index)
        write_wave(samples, 24_000, root / "ambience" / f"{name}.wav")


def speak(text: str, voice: str, pitch: int, path: Path) -> None:
    """Write synthesised speech.

    Raises:
        ComposeError: The synthesiser fails or takes too long.
    """
    command = ["espeak-ng", "-v", voice, "-p", str(pitch), "-s", "155", "-w", str(path), text]
    try:
        subprocess.run(  # noqa: S603 - a fixed program with our own arguments, without a shell
            command, check=True, capture_output=True, timeout=VOICE_SECONDS
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ComposeError(f"espeak-ng could not speak with the voice {voice}: {error}") from error


def cut_views(photograph: Image.Image, count: int = 6) -> list[Image.Image]:
    """Cut a photograph into views that differ as camera set-ups of one place do.

    The first is the whole, cropped to 3 : 2; the others are its parts with most detail, far
    enough apart not to repeat one another.

    Args:
        photograph: At least some hundred pixels wide.
        count: Number of views.
    """
    width = min(photograph.width, photograph.height * 3 / 2)
    views = [((photograph.width - width) / 2, (photograph.height - width / 1.5) / 2, width)]
    thumb = photograph.convert("L").resize((96, round(96 * photograph.height / photograph.width)))
    detail = _detail(np.asarray(thumb, np.float32))
    scale = photograph.width / 96
    candidates = []
    for share in (0.55, 0.75):
        w, h = width * share / scale, width * share / 1.5 / scale
        for x in np.linspace(0, detail.shape[1] - w, 6):
            for y in np.linspace(0, detail.shape[0] - h, 5):
                part = detail[int(y) : int(y + h), int(x) : int(x + w)]
                candidates.append((float(part.mean()), x * scale, y * scale, w * scale))
    candidates.sort(reverse=True)
    for apart in (0.3, 0.2, 0.1, 0.0):
        for _, x, y, w in candidates:
            if len(views) >= count:
                break
            centres = [(vx + vw / 2, vy + vw / 3) for vx, vy, vw in views[1:]]
            distances = [np.hypot(x + w / 2 - a, y + w / 3 - b) for a, b in centres]
            if all(d > apart * width for d in distances):
                views.append((x, y, w))
    size = (VIEW_WIDTH, round(VIEW_WIDTH / 1.5))
    return [
        photograph.resize(
            size,
            Image.Resampling.BICUBIC,
            (x, y, min(x + w, photograph.width), min(y + w / 1.5, photograph.height)),
            reducing_gap=1.5,
        )
        for x, y, w in views
    ]


def _detail(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    down, across = np.gradient(luma)
    return np.asarray(np.sqrt(np.abs(down) + np.abs(across)), np.float32)


@dataclass(frozen=True, slots=True)
class Tone:
    """A colour of noise and how it swells.

    Attributes:
        low: Frequency in Hz below which it fades.
        high: Frequency in Hz above which it fades.
        slope: Exponent of its spectrum over frequency; negative attenuates high frequencies.
        swell: Depth of the slow swelling, 0 … 1.
        period: Seconds of one swell.
        hum: Frequency in Hz of a faint hum; 0 is none.
    """

    low: float
    high: float
    slope: float
    swell: float
    period: float
    hum: float = 0.0


TONES: dict[str, Tone] = {
    "wind": Tone(60, 900, -1.0, 0.8, 5.0),
    "surf": Tone(150, 6000, -0.6, 0.9, 8.0),
    "stream": Tone(500, 7000, -0.2, 0.15, 1.1),
    "room": Tone(40, 400, -1.2, 0.05, 7.0, hum=100.0),
    "hall": Tone(80, 1500, -1.5, 0.1, 11.0),
    "engine": Tone(50, 700, -1.4, 0.2, 0.7, hum=75.0),
}


def draw_tone(tone: Tone, seconds: float, rate: int, seed: int) -> NDArray[np.float32]:
    """Synthesise noise with the spectrum and the swelling of a tone, peaking at 0.5.

    Args:
        tone: Spectrum and swelling.
        seconds: Length.
        rate: Samples a second.
        seed: Seed of the noise.
    """
    size = round(seconds * rate)
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal(size))
    frequency = np.fft.rfftfreq(size, 1 / rate)
    safe = np.maximum(frequency, 1.0)
    shape = (safe / 1000.0) ** tone.slope
    shape *= 1.0 / (1.0 + (tone.low / safe) ** 4) / (1.0 + (safe / tone.high) ** 4)
    noise = np.fft.irfft(spectrum * shape, size)
    noise /= noise.std()
    time = np.arange(size) / rate
    phases = rng.random(3)
    wave_sum = sum(
        np.sin(2 * np.pi * (time / (tone.period * k) + p))
        for k, p in zip((1.0, 1.618, 2.39), phases, strict=True)
    )
    noise *= 1.0 + tone.swell * wave_sum / 3.0
    if tone.hum:
        noise += 0.8 * np.sin(2 * np.pi * tone.hum * time)
    return np.asarray(0.5 * noise / np.abs(noise).max(), np.float32)


def write_wave(samples: NDArray[np.float32], rate: int, path: Path) -> None:
    """Write mono 16-bit PCM."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
