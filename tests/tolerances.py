"""The one table of tolerances: relative, by dtype and by derivative order. What is not in it is compared exactly."""

from __future__ import annotations

import numpy as np

TOLERANCE = {
    (np.float64, 0): 1e-12,
    (np.float64, 1): 1e-11,
    (np.float64, 2): 1e-10,
    (np.float64, 3): 1e-9,
    (np.float32, 0): 2e-5,
    (np.float32, 1): 2e-4,
    (np.float32, 2): 2e-3,
}

NUMERIC = 1e-10
"""Against the numeric oracle, beside the oracle's own error."""

LOOSEST = 1e-8
"""What the two may come to together."""


def close(got, expected, dtype=np.float64, order=0):
    """Assert that arrays agree to the table's tolerance, relative to the largest entry."""
    rtol = TOLERANCE[(np.dtype(dtype).type, order)]
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape, f"shape {got.shape}, expected {expected.shape}"
    finite = np.abs(expected[np.isfinite(expected)]) if expected.dtype.kind == "f" else np.abs(expected.astype(float))
    scale = max(1e-300, float(finite.max(initial=0.0)))
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=rtol * scale)
