"""Where there is no display, MuJoCo is told before any test imports it."""

from __future__ import annotations

from metagrad.rl.rendering import headless

headless()
