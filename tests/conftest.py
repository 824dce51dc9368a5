"""Settings that every test shares. Its presence puts `tests/` on the path: helpers are imported by their names."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "metagrad", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("metagrad")
