"""The distribution of sine waves, and the points drawn from them."""

import math

import numpy as np
import pytest

from metagrad.data import Sinusoids, episodes
from metagrad.errors import OptionError


def test_amplitudes_and_phases_fill_their_ranges():
    tasks = Sinusoids.sample(np.random.default_rng(0), 20_000)
    for values, low, high in ((tasks.amplitude, 0.1, 5.0), (tasks.phase, 0.0, math.pi)):
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < values.max() <= high
        assert abs(values.mean() - (low + high) / 2) < 0.02 * (high - low)


def test_points_lie_on_the_wave_of_their_task():
    generator = np.random.default_rng(0)
    tasks = Sinusoids.sample(generator, 50)
    x, y = tasks.points(generator, 40)
    assert x.shape == y.shape == (50, 40, 1)
    assert x.dtype == y.dtype == np.float32
    assert -5 <= x.min() < -4.9
    assert 4.9 < x.max() <= 5
    expected = tasks.amplitude[:, None, None] * np.sin(x.astype(float) - tasks.phase[:, None, None])
    np.testing.assert_allclose(y, expected, atol=1e-6)


def test_the_oracle_sees_amplitude_and_phase_beside_each_input():
    generator = np.random.default_rng(0)
    tasks = Sinusoids.sample(generator, 3)
    x, _ = tasks.points(generator, 4)
    informed = tasks.informed(x)
    assert informed.shape == (3, 4, 3)
    assert informed.dtype == np.float32
    np.testing.assert_array_equal(informed[..., :1], x)
    np.testing.assert_allclose(informed[1, :, 1], tasks.amplitude[1], rtol=1e-6)
    np.testing.assert_allclose(informed[2, :, 2], tasks.phase[2], rtol=1e-6)


def test_support_and_query_are_different_points_of_the_same_waves():
    tasks, (support, query) = episodes(np.random.default_rng(0), 25, 10)
    for x, y in (support, query):
        assert x.shape == (25, 10, 1)
        np.testing.assert_array_equal(tasks(x), y)
    assert not np.intersect1d(support[0], query[0]).size


def test_the_same_seed_gives_the_same_tasks():
    first, second = (episodes(np.random.default_rng(7), 4, 5)[1] for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(("tasks", "shots", "words"), [(0, 5, "as tasks but got 0"), (4, 0.5, "as shots but got 0.5")])
def test_no_tasks_and_no_points_are_refused(tasks, shots, words):
    with pytest.raises(OptionError, match=rf"requires an integer of at least 1 {words}"):
        episodes(np.random.default_rng(0), tasks, shots)
