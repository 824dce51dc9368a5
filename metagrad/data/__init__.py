"""Distributions of tasks, sampled on the host with a numpy.random.Generator."""

from __future__ import annotations

from .sinusoid import Sinusoids, episodes

__all__ = ["Sinusoids", "episodes"]
