"""Tables on standard output that lose nothing, however narrow the terminal is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.table import Table

WIDEST: Final = 100_000
BORDERS: Final = 3
LEAST_TEXT: Final = 4


def print_table(table: Table) -> None:
    """Prints a table whole.

    On a terminal, text folds to fit; but numbers keep their width, if need be beyond
    the terminal's edge. Elsewhere nothing folds.

    Args:
        table: Its ``no_wrap`` columns are not to be broken, such as numbers.
    """
    from rich.console import Console
    from rich.measure import Measurement

    console = Console()
    unbounded = console.options.update(max_width=WIDEST)
    floor = 1
    for column in table.columns:
        if column.no_wrap:
            cells = [Measurement.get(console, unbounded, cell).maximum for cell in column.cells]
            column.min_width = max(cells, default=0)
        floor += BORDERS + max(column.min_width or 0, LEAST_TEXT)
    whole = Measurement.get(console, unbounded, table).maximum
    Console(width=max(console.width, floor) if console.is_terminal else whole).print(table)
