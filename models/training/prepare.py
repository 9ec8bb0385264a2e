"""What a training starts from: projections fitted on its movies, and all movies projected once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from streamer.errors import DatasetError
from streamer.files import write_atomically
from streamer.models.dataset.corpus import Corpus, build_corpus, load_corpus, save_corpus
from streamer.models.experts.layers import SPECTROGRAM_DIM
from streamer.models.experts.tokens import Moments, Projection

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from streamer.models.dataset.folder import AspectSummary, DatasetFolder
    from streamer.models.dataset.movie import Movie
    from streamer.models.training.settings import TrainingSettings

CORPUS: Final = "corpus.safetensors"


def prepare(
    dataset: DatasetFolder,
    train: set[str],
    used: dict[str, AspectSummary],
    settings: TrainingSettings,
    state: Path,
) -> tuple[dict[str, Projection], Corpus]:
    """Fits projections on training movies and projects all movies, once.

    Args:
        dataset: Annotated movies.
        train: Names of the training movies.
        used: Aspects wanted.
        settings: Widths and ``max_tokens`` are used.
        state: Folder that keeps both for a killed run, and the corpus as ``CORPUS`` for others.

    Raises:
        DatasetError: An aspect is in no shot of the training movies, or a file is damaged.
    """
    projections = {
        # The network behind raw spectrograms needs their bins side by side.
        aspect: Projection(
            summary.dim, 0 if summary.dim == SPECTROGRAM_DIM else settings.size.projection
        )
        for aspect, summary in used.items()
    }
    fitted, prepared = state / "projections.safetensors", state / CORPUS
    if fitted.exists() and prepared.exists():
        try:
            tensors = load_file(fitted)
        except (SafetensorError, OSError) as error:
            raise DatasetError(f"the training state {fitted} is damaged: {error}") from error
        for aspect, projection in projections.items():
            prefix = f"{aspect}."
            projection.load_state_dict(
                {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            )
        return projections, load_corpus(prepared, used)

    fit_projections(projections, (m for m in dataset.movies() if m.name in train))
    corpus = build_corpus(dataset.movies, projections, settings.size.max_tokens)
    save_corpus(corpus, prepared)
    content = {
        f"{aspect}.{name}": tensor.contiguous()
        for aspect, projection in projections.items()
        for name, tensor in projection.state_dict().items()
    }
    write_atomically(fitted, save(content))
    return projections, corpus


def fit_projections(projections: dict[str, Projection], movies: Iterable[Movie]) -> None:
    """Fits projections on training movies.

    Args:
        projections: Aspect → projection, changed in place.
        movies: The training movies.

    Raises:
        DatasetError: An aspect is in no shot of these movies.
    """
    moments = {aspect: Moments(projection) for aspect, projection in projections.items()}
    for movie in movies:
        for aspect, gathered in moments.items():
            if aspect in movie.aspects:
                gathered.add(movie.aspects[aspect].tokens)
    for aspect, projection in projections.items():
        try:
            projection.fit(moments[aspect])
        except ValueError as error:
            raise DatasetError(f"aspect {aspect} is in no shot of the training movies") from error


def check_labels(corpus: Corpus, train: Sequence[int]) -> None:
    """Refuses training movies from which nothing can be learnt.

    Args:
        corpus: All movies.
        train: Indices of the training movies.

    Raises:
        DatasetError: They have no scene boundary, or nothing else.
    """
    labels = [corpus.labels(movie) for movie in train]
    if not any(part.any() for part in labels):
        raise DatasetError("no training movie has a scene boundary: nothing can be learnt")
    if all(part.all() for part in labels):
        raise DatasetError("every boundary of the training movies is one of scenes")
