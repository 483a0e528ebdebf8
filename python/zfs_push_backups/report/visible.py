"""Text that others chose, fit for a terminal: names in a store, a stream or a file name may hold control characters."""

from __future__ import annotations


def visible(text: str) -> str:
    """The text on one line, with what a terminal would act on escaped."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in text)


def visible_lines(text: str) -> str:
    """Several lines, each of them visible."""
    return text if text.isprintable() else "\n".join(visible(line) for line in text.split("\n"))
