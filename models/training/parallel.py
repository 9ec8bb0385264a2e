"""Experts trained side by side in processes."""

from __future__ import annotations

import multiprocessing
import queue
from concurrent.futures import FIRST_COMPLETED, wait
from typing import TYPE_CHECKING

import torch

from streamer.models.catalogue import find_row
from streamer.models.dataset.corpus import load_corpus
from streamer.models.training.experts import ExpertJob, ExpertOutcome, train_expert
from streamer.processes import spawned_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from streamer.models.training.loop import Progress

    Report = Callable[[str, Progress], None]

_POLL_SECONDS = 0.2


def train_experts(
    corpus: Path, jobs: Sequence[ExpertJob], workers: int, report: Report
) -> list[ExpertOutcome]:
    """Trains experts, as many at a time as there are workers.

    Processes rather than threads: the steps are small, and Python would take turns.

    Args:
        corpus: From ``save_corpus``.
        jobs: What to train.
        workers: Processes; 1 trains in this one.
        report: Called with a job's label after each of its epochs.

    Returns:
        Outcomes, in the order of the jobs.

    Raises:
        DatasetError: The loss of one is not finite, or a saved state is damaged.
    """
    if workers <= 1 or len(jobs) <= 1:
        return [_train(corpus, job, report) for job in jobs]
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        told: queue.Queue[tuple[str, Progress]] = manager.Queue()
        with spawned_pool(min(workers, len(jobs)), _one_thread) as pool:
            futures = [pool.submit(_train_told, corpus, job, told) for job in jobs]
            pending = set(futures)
            while pending:
                done, pending = wait(pending, _POLL_SECONDS, FIRST_COMPLETED)
                _drain(told, report)
                for future in done:
                    future.result()
            return [future.result() for future in futures]


def _one_thread() -> None:
    torch.set_num_threads(1)


def _train(corpus: Path, job: ExpertJob, report: Report) -> ExpertOutcome:
    held = load_corpus(corpus, find_row(job.row).aspects)
    return train_expert(held, job, lambda progress: report(job.label, progress))


def _train_told(
    corpus: Path, job: ExpertJob, told: queue.Queue[tuple[str, Progress]]
) -> ExpertOutcome:
    return _train(corpus, job, lambda label, progress: told.put((label, progress)))


def _drain(told: queue.Queue[tuple[str, Progress]], report: Report) -> None:
    while True:
        try:
            label, progress = told.get_nowait()
        except queue.Empty:
            return
        report(label, progress)
