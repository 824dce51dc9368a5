"""The episodic sampler: nothing leaks, nothing repeats, a seed decides, and all choices are alike.

The pictures say what they are: their upper row holds the number of the class and of the drawing, both above 0, and
their lower row zeros, so that class, drawing and turn can be read off any of them.
"""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metagrad.data import Draw, Episodes, ImageClasses
from metagrad.data.sampler import distinct
from metagrad.errors import OptionError, ShapeError


def telling(counts):
    pictures = []
    for k, count in enumerate(counts):
        each = np.zeros((count, 2, 2, 1), np.uint8)
        each[:, 0, 0, 0] = k + 1
        each[:, 0, 1, 0] = np.arange(count) + 1
        pictures.append(each)
    return ImageClasses.of(pictures, [str(k) for k in range(len(counts))])


def told(image):
    """(class, drawing, turn) of a picture of the sampler."""
    whole = np.rint(image[..., 0] * 255).astype(int)
    for turn in range(4):
        upper, lower = np.rot90(whole, -turn)
        if not lower.any():
            return upper[0] - 1, upper[1] - 1, turn
    raise AssertionError(whole)


@st.composite
def settings(draw):
    """Counts of drawings, a sampler's numbers that they allow, a seed and a number of tasks."""
    shots, queries = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    counts = draw(st.lists(st.integers(shots + queries, 9), min_size=1, max_size=8))
    ways = draw(st.integers(1, len(counts)))
    numbers = {"ways": ways, "shots": shots, "queries": queries, "rotate": draw(st.booleans())}
    return counts, numbers, draw(st.integers(0, 2**32)), draw(st.integers(1, 4))


@given(settings())
def test_an_episode_is_what_it_promises(case):
    counts, numbers, seed, tasks = case
    ways, shots, queries = numbers["ways"], numbers["shots"], numbers["queries"]
    support, query = Episodes(telling(counts), **numbers)(np.random.default_rng(seed), tasks)
    for (images, labels), each in ((support, shots), (query, queries)):
        assert images.shape == (tasks, ways * each, 2, 2, 1)
        assert (images.dtype, labels.dtype) == (np.float32, np.int64)
        assert images.flags.c_contiguous
        assert labels.shape == (tasks, ways * each)
    for task in range(tasks):
        of_label, seen = {}, set()
        for images, labels in (support, query):
            assert np.bincount(labels[task]).tolist() == [len(labels[task]) // ways] * ways
            for image, label in zip(images[task], labels[task], strict=True):
                k, drawing, turn = told(image)
                assert of_label.setdefault(int(label), (k, turn)) == (k, turn)  # the same turn in support and query
                assert (k, drawing) not in seen  # no drawing twice, in support or query
                seen.add((k, drawing))
        assert len({k for k, _ in of_label.values()}) == ways
        assert numbers["rotate"] or all(turn == 0 for _, turn in of_label.values())


@given(settings())
def test_equal_generators_give_equal_episodes_and_go_on_alike(case):
    counts, numbers, seed, tasks = case
    episodes = Episodes(telling(counts), **numbers)
    one, other = np.random.default_rng(seed), np.random.default_rng(seed)
    for _ in range(2):
        for a, b in zip(episodes(one, tasks), Episodes(telling(counts), **numbers)(other, tasks), strict=True):
            np.testing.assert_array_equal(a[0], b[0])
            np.testing.assert_array_equal(a[1], b[1])


@given(settings())
def test_the_draw_says_which_pictures_are_taken(case):
    counts, numbers, seed, tasks = case
    ways, shots = numbers["ways"], numbers["shots"]
    episodes = Episodes(telling(counts), **numbers)
    draw = episodes.draw(np.random.default_rng(seed), tasks)
    taken, called = episodes.take(draw), episodes(np.random.default_rng(seed), tasks)
    for k, ((images, _), (same, _)) in enumerate(zip(taken, called, strict=True)):
        np.testing.assert_array_equal(images, same)
        chosen = draw.drawings[..., :shots] if k == 0 else draw.drawings[..., shots:]
        seen = images.reshape(tasks, ways, -1, 2, 2, 1)
        for task, way in itertools.product(range(tasks), range(ways)):
            expected = [(draw.classes[task, way], drawing, draw.turns[task, way]) for drawing in chosen[task, way]]
            assert [told(image) for image in seen[task, way]] == expected


def test_a_subset_and_turned_classes_are_sampled_as_they_are():
    classes = telling([4, 5, 6]).subset([2, 1]).with_rotations()
    episodes = Episodes(classes, ways=8, shots=1, queries=1, rotate=False)
    draw = episodes.draw(np.random.default_rng(0), 5)
    (images, _), _ = episodes.take(draw)
    for task, way in itertools.product(range(5), range(8)):
        number = draw.classes[task, way]
        assert told(images[task, way]) == ([2, 1][number // 4], draw.drawings[task, way, 0], number % 4)


def test_pixels_become_hundreds_of_a_byte_exactly():
    pictures = np.arange(256, dtype=np.uint8).reshape(1, 2, 16, 8, 1)
    episodes = Episodes(ImageClasses.of(pictures, ["a"]), ways=1, shots=1, queries=1, rotate=False)
    batches = episodes(np.random.default_rng(0), 1)
    found = np.sort(np.concatenate([images.reshape(-1) for images, _ in batches]))
    np.testing.assert_array_equal(found, np.arange(256, dtype=np.float32) / np.float32(255))
    assert (found[0], found[-1]) == (0, 1)


def test_pictures_that_are_not_turned_are_not_copied():
    classes = telling([4, 4, 4])
    episodes = Episodes(classes.subset([1, 2]), ways=2, shots=1, queries=1, rotate=False)
    assert np.shares_memory(episodes._pictures, classes.pictures)


@pytest.mark.parametrize(("of", "count"), [(4, 2), (3, 3), (1, 1), (5, 1)])
def test_all_ordered_choices_are_alike(of, count):
    trials = 40_000
    chosen = distinct(np.random.default_rng(0), np.full(trials, of), count)
    choices, times = np.unique(chosen, axis=0, return_counts=True)
    expected = list(itertools.permutations(range(of), count))
    assert sorted(map(tuple, choices.tolist())) == expected
    share = 1 / len(expected)
    assert np.all(np.abs(times - trials * share) <= 5 * np.sqrt(trials * share * (1 - share)))


def test_classes_turns_and_drawings_are_all_used_alike():
    draw = Episodes(telling([6] * 10), ways=3, shots=1, queries=1).draw(np.random.default_rng(0), 20_000)
    for numbers, of in ((draw.classes[:, 0], 10), (draw.turns, 4), (draw.drawings[..., 0], 6), (draw.drawings, 6)):
        times = np.bincount(numbers.reshape(-1), minlength=of)
        assert np.all(np.abs(times - times.mean()) < 5 * np.sqrt(times.mean()))


@pytest.mark.parametrize(
    ("numbers", "error", "words"),
    [
        ({"ways": 4}, OptionError, "ways of at most 3, the number of classes, but got 4"),
        ({"queries": 4}, OptionError, r"at least 5 drawings, for 1 shots and 4 queries, but got 1 with 4"),
        ({"ways": 0}, OptionError, "an integer of at least 1 as ways but got 0"),
        ({"shots": 1.0}, OptionError, "an integer of at least 1 as shots but got 1.0"),
        ({"queries": 0}, OptionError, "an integer of at least 1 as queries but got 0"),
    ],
)
def test_episodes_that_cannot_be_are_refused(numbers, error, words):
    with pytest.raises(error, match=rf"^\[Episodes\] requires .*{words}"):
        Episodes(telling([5, 4, 5]), **{"ways": 2, "shots": 1, "queries": 1, **numbers})


def test_pictures_that_are_not_square_are_sampled_but_not_turned():
    flat = ImageClasses.of(np.zeros((2, 2, 3, 4, 1), np.uint8), ["a", "b"])
    numbers = {"ways": 2, "shots": 1, "queries": 1}
    with pytest.raises(ShapeError, match="square pictures, to turn them, but got 3 x 4"):
        Episodes(flat, **numbers)
    assert Episodes(flat, rotate=False, **numbers)(np.random.default_rng(0), 3)[0][0].shape == (3, 2, 3, 4, 1)


def test_no_tasks_and_a_draw_of_another_sampler_are_refused():
    episodes = Episodes(telling([2, 2]), ways=1, shots=1, queries=1, rotate=False)
    with pytest.raises(OptionError, match="an integer of at least 1 as tasks but got 0"):
        episodes(np.random.default_rng(0), 0)
    one = np.ones((1, 1), np.int64)
    with pytest.raises(OptionError, match="requires rotate=True"):
        episodes.take(Draw(one, one, np.array([[[0, 1]]])))


def test_turned_classes_are_not_turned_again():
    """Two turns of one drawing could come out alike, in support and query or under two labels."""
    turned = telling([4, 4]).with_rotations()
    Episodes(turned, ways=2, shots=1, queries=1, rotate=False)
    with pytest.raises(OptionError, match=r"\[Episodes\] requires rotate=False for classes that are turned themselves"):
        Episodes(turned, ways=2, shots=1, queries=1)
