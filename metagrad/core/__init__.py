"""The engine: what a primitive is, what a trace is, and the four traces. It knows no operation."""

from __future__ import annotations
