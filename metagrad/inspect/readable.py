"""What is found out about graphs shows itself as text."""

from __future__ import annotations

from html import escape


class Readable:
    """Its `repr` is a text for people, which a notebook shows line by line."""

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"
