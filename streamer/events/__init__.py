"""Boundary, shot and scene events as CloudEvents."""
