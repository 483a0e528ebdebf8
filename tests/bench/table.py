"""Tables of figures on stdout."""

from __future__ import annotations


def ratio(value: float, of: float) -> str:
    """Return how many times `of` a value is."""
    return f"{value / of:.2f}"


class Table:
    """A title, columns as wide as they need to be, a note."""

    def __init__(self, title: str, *columns: str) -> None:
        self.title = title
        self.rows: list[tuple[str, ...]] = [columns]

    def row(self, *cells: str) -> None:
        """Add a line."""
        self.rows.append(cells)

    def show(self, note: str) -> None:
        """Print all of it."""
        widths = [max(len(row[column]) for row in self.rows) for column in range(len(self.rows[0]))]
        print(f"\n{self.title}")
        for first, *others in self.rows:
            cells = [cell.rjust(width + 3) for cell, width in zip(others, widths[1:], strict=True)]
            print(f"  {first.ljust(widths[0])}{''.join(cells)}")
        print(f"  {note}", flush=True)
