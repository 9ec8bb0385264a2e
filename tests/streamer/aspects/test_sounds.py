"""Windows of sound: which are embedded, and what gaps cost."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Literal

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamer.aspects.audio import MIN_RECEIVED, SILENCE, SoundAspects, full_windows, last_window
from streamer.aspects.thinning import Thinner
from streamer.aspects.track import SoundTrack
from streamer.extractor import SoundInput
from streamer.timeline import Sound, Timestamp

RATE = 8000
# Windows of every kind lie the same way behind both.
SHORT = 21
YEARS = SHORT * 15_000_000


@dataclass
class Ends:
    """Sum, first and last sample of a piece."""

    aspect: str
    input: SoundInput
    network: str = "ends"
    kind: Literal["picture", "clip", "sound"] = "sound"
    dim: int = 3

    def embed(self, pieces: torch.Tensor) -> torch.Tensor:
        return torch.stack([pieces.double().sum(1).float(), pieces[:, 0], pieces[:, -1]], 1)


SPECS = {
    "one": SoundInput(RATE, 800, 700),
    "two": SoundInput(RATE, 800, 700),
    "three": SoundInput(RATE, 1000, 250),
    "four": SoundInput(RATE // 2, 300, 300),
}


def block(start: int, samples: NDArray[np.float32]) -> Sound:
    frame = av.AudioFrame.from_ndarray(samples[None], "flt", "mono")
    frame.sample_rate = RATE
    return Sound(Timestamp(start, Fraction(1, RATE)), frame)


def noise(length: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, length).astype(np.float32)


def by_walking(
    sounds: list[Sound], edges: list[Fraction]
) -> list[dict[str, list[NDArray[np.float32]]]]:
    """Looks at every window there is, on tracks that keep everything."""
    tracks = {spec.rate: SoundTrack(spec.rate, Fraction(10**6)) for spec in SPECS.values()}
    for track in tracks.values():
        for sound in sounds:
            track.push(sound)
        track.flush()
    shots = []
    for start, end in pairwise(edges):
        found: dict[str, list[NDArray[np.float32]]] = defaultdict(list)
        for aspect, spec in SPECS.items():
            first = round(start * spec.rate)
            length = round(end * spec.rate) - first
            spans = [
                (index * spec.hop, index * spec.hop + spec.window)
                for index in range(full_windows(length, spec))
            ]
            if (rest := last_window(length, spec)) is not None:
                spans.append(rest)
            for low, high in spans:
                samples, received = tracks[spec.rate].read(first + low, first + high)
                if received < MIN_RECEIVED * (high - low) or np.abs(samples).max() < SILENCE:
                    continue
                piece = torch.from_numpy(np.resize(samples, spec.window))
                found[aspect].append(Ends(aspect, spec).embed(piece[None])[0].numpy())
        shots.append(found)
    return shots


layouts = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1, 300, 900, 5000, 20_000]), st.integers(1, 3000), st.booleans()
    ),
    min_size=1,
    max_size=10,
)


@settings(max_examples=60, deadline=None)
@given(layouts, st.lists(st.integers(1, 30_000), min_size=1, max_size=5), st.data())
def test_tokens_are_those_of_a_walk_over_every_window(
    layout: list[tuple[int, int, bool]], lengths: list[int], data: st.DataObject
) -> None:
    sounds, at = [], 400
    for number, (gap, length, silent) in enumerate(layout):
        at += gap
        sounds.append(block(at, noise(length, number) * (not silent)))
        at += length
    edges = [Fraction(int(edge), RATE) for edge in np.cumsum([0, *lengths])]
    made = [Ends(aspect, spec) for aspect, spec in SPECS.items()]
    aspects = SoundAspects(made, Thinner(list(SPECS)), batch=data.draw(st.sampled_from([1, 4])))
    ends = [sound.start.seconds + Fraction(sound.frame.samples, RATE) for sound in sounds]
    waiting = list(pairwise(edges))
    found = []
    for sound in sounds:
        # As a bank does: what is certain, which is never more than what is heard.
        aspects.push(sound)
        heard = aspects.heard
        while waiting and heard is not None and heard >= waiting[0][1]:
            found.append(aspects.close(*waiting.pop(0)))
        if waiting and heard is not None and data.draw(st.booleans()):
            share = data.draw(st.integers(0, 4))
            aspects.advance(waiting[0][0], min(heard, waiting[0][1]) * share / 4)
    aspects.end()
    found += [aspects.close(*shot) for shot in waiting]
    assert ends == sorted(ends)

    for got, wanted in zip(found, by_walking(sounds, edges), strict=True):
        assert got.keys() == wanted.keys()
        for aspect, tokens in wanted.items():
            np.testing.assert_array_equal(got[aspect], np.stack(tokens))


def test_a_gap_of_years_costs_nothing() -> None:
    def across(gap: int) -> dict[str, NDArray[np.float32]]:
        made = [Ends(aspect, spec) for aspect, spec in SPECS.items()]
        aspects = SoundAspects(made, Thinner(list(SPECS)), batch=4)
        aspects.push(block(0, noise(RATE)))
        aspects.push(block(gap * RATE, noise(RATE, 1)))
        aspects.end()
        return aspects.close(Fraction(0), Fraction(gap + 1))

    short = across(SHORT)
    began = time.process_time()
    long = across(YEARS)
    assert time.process_time() - began < 1.0
    assert long.keys() == short.keys() == SPECS.keys()
    for aspect, tokens in short.items():
        assert len(tokens) > 20
        np.testing.assert_array_equal(long[aspect], tokens)


@pytest.mark.parametrize("level", [0, 3, 4])
@pytest.mark.parametrize("heard_first", ["silence", "nothing"])
def test_what_is_not_offered_does_not_count_for_thinning(level: int, heard_first: str) -> None:
    left_out: list[str] = []
    thinner = Thinner(["place", "one", "panns"], left_out.append)
    thinner.level = level
    aspects = SoundAspects([Ends("one", SPECS["one"])], thinner, batch=1)
    if heard_first == "silence":
        aspects.push(block(0, noise(800) * 0))
    aspects.push(block(800, noise(700)))
    aspects.end()
    # Two windows, of which the first holds nothing.
    tokens = aspects.close(Fraction(0), Fraction(1500, RATE))
    assert len(tokens["one"]) == 1
    assert left_out == []
