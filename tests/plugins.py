"""Install plug-ins for a test: a folder on the import path with a module and its metadata."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent


@dataclass
class Site:
    """A folder of installed distributions.

    Attributes:
        folder: On the import path while the test runs.
        modules: Names of the modules there.
    """

    folder: Path
    modules: list[str] = field(default_factory=list)

    def install(self, name: str, code: str, points: dict[str, str], version: str = "1.0") -> None:
        """Write a module and the entry points that lead to it.

        Args:
            name: Of the distribution; the module's has underscores for dashes.
            code: Of the module; indentation is removed.
            points: ``group:name`` → attribute.
            version: Of the distribution.
        """
        module = name.replace("-", "_")
        (self.folder / f"{module}.py").write_text(dedent(code))
        info = self.folder / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = []
        for point, attribute in points.items():
            group, _, own = point.partition(":")
            lines += [f"[streamer.{group}]", f"{own} = {module}:{attribute}"]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        self.modules.append(module)

    def forget(self) -> None:
        """Undo the imports."""
        for name in self.modules:
            sys.modules.pop(name, None)
