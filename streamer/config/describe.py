"""Describe in words which keys exist, which values they allow, and what is wrong with one."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any

from streamer.config.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence


@cache
def keys() -> tuple[str, ...]:
    """List every key as a dotted path, e.g. ``shots.max_seconds``, in the models' order."""
    return tuple(_leaves(_schema(), ()))


def allowed(path: Sequence[str]) -> str:
    """Describe what a key accepts.

    Args:
        path: The key's parts, e.g. ``("shots", "max_seconds")``.

    Returns:
        A phrase such as ``a number from 0 to 1``.

    Raises:
        KeyError: There is no such key.
    """
    node = _schema()
    for part in path:
        child = _child(node, part)
        if child is None:
            raise KeyError(".".join(path))
        node = child
    return _phrase(node)


def secret(path: Sequence[str]) -> bool:
    """Return whether a key's value must not be shown; an unknown key may be a misspelt secret."""
    node = _schema()
    for part in path:
        child = _child(node, part)
        if child is None:
            return True
        node = child
    return any(option.get("writeOnly", False) for option in (node, *node.get("anyOf", ())))


def suggestion(path: Sequence[str]) -> str | None:
    """Suggest an existing key for an unknown one.

    Args:
        path: The unknown key's parts.

    Returns:
        An existing key or section as a dotted path, or None.
    """
    node, parents = _schema(), list(path[:-1])
    for part in parents:
        node = _child(node, part) or {}
    siblings = list(node.get("properties", ()))
    if near := get_close_matches(path[-1], siblings, n=1):
        return ".".join([*parents, near[0]])
    by_name = {key.rpartition(".")[2]: key for key in reversed(keys())}
    if near := get_close_matches(path[-1], by_name, n=1, cutoff=0.8):
        return by_name[near[0]]
    return None


@cache
def _schema() -> dict[str, Any]:
    return Settings.model_json_schema()


def _child(node: dict[str, Any], part: str) -> dict[str, Any] | None:
    """Return the schema of a key, also below a free name (``aspects.extra.NAME``)."""
    for option in (node, *map(_resolved, node.get("anyOf", ()))):
        free = option.get("additionalProperties")
        child = option.get("properties", {}).get(part, free if isinstance(free, dict) else None)
        if child is not None:
            return _resolved(child)
    return None


def _resolved(node: dict[str, Any]) -> dict[str, Any]:
    reference = node.get("$ref")
    if reference is None:
        return node
    definition: dict[str, Any] = _schema()["$defs"][reference.rpartition("/")[2]]
    return definition


def _leaves(node: dict[str, Any], path: tuple[str, ...]) -> list[str]:
    found: list[str] = []
    for name, child in node["properties"].items():
        inner = _resolved(child)
        if "properties" in inner:
            found += _leaves(inner, (*path, name))
        else:
            found.append(".".join((*path, name)))
    return found


def _phrase(node: dict[str, Any]) -> str:
    node = _resolved(node)
    if "anyOf" in node:
        return " or ".join(_phrase(item) for item in node["anyOf"] if item.get("type") != "null")
    if "enum" in node:
        return "one of " + ", ".join(map(str, node["enum"]))
    match node.get("type"):
        case "boolean":
            return "true or false"
        case "integer":
            return "a whole number" + _range(node)
        case "number":
            return "a number" + _range(node)
        case "array":
            return "a list, each " + _phrase(node["items"])
        case "object":
            return "a table with " + ", ".join(node.get("properties", ()))
    if node.get("format") in {"path", "file-path"}:
        return "a path as text"
    least, most = node.get("minLength"), node.get("maxLength")
    if least is not None and most is not None:
        return f"text of {least} to {most} characters"
    if least is not None:
        return f"text of at least {least} character{'s' if least > 1 else ''}"
    return "text"


def _range(node: dict[str, Any]) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    above, below = node.get("exclusiveMinimum"), node.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    bounds = [
        f"{word} {value:g}"
        for word, value in (
            ("at least", low),
            ("greater than", above),
            ("at most", high),
            ("less than", below),
        )
        if value is not None
    ]
    return " " + " and ".join(bounds) if bounds else ""
