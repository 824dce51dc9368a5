"""The embedded characters: the same bits everywhere, drawn alike within a class, and as hard as they are said to be."""

import hashlib
import itertools

import numpy as np
import pytest

from metagrad.data import Episodes, handwriting, split, strokes
from metagrad.errors import OptionError


def nearest_neighbour(classes, tasks=400):
    """Accuracy of the nearest support picture in pixels, 5-way 1-shot."""
    (support, _), (query, labels) = Episodes(classes, ways=5, shots=1, queries=1)(np.random.default_rng(0), tasks)
    distance = ((query[:, :, None] - support[:, None]) ** 2).sum(axis=(-3, -2, -1))
    return (distance.argmin(axis=-1) == labels).mean()


def test_a_seed_gives_these_bits():
    pictures = strokes(classes=6, drawings=4, seed=3).pictures
    assert (
        hashlib.sha256(pictures.tobytes()).hexdigest()
        == "e48e01e8d1fe1342bf82fdc2aa65532080e978c051366fb3545c2bd604c67318"
    )


def test_other_seeds_and_sizes_give_other_pictures():
    first = strokes(classes=6, drawings=4)
    assert (strokes(classes=6, drawings=4, seed=1).pictures != first.pictures).any()
    assert strokes(classes=2, drawings=3, size=40).images.shape == (2, 3, 40, 40, 1)


def test_fewer_classes_are_the_first_of_more():
    np.testing.assert_array_equal(strokes(classes=3, drawings=4).images, strokes(classes=8, drawings=4).images[:3])


def test_pictures_do_not_depend_on_how_many_are_made_at_once(monkeypatch):
    expected = strokes(classes=4, drawings=5).pictures
    monkeypatch.setattr(handwriting, "_CHUNK", 7)
    np.testing.assert_array_equal(strokes(classes=4, drawings=5).pictures, expected)


def test_every_drawing_has_ink_that_is_antialiased_and_mostly_paper():
    pictures = strokes(classes=200, drawings=5).images[..., 0] / 255
    ink = pictures.mean(axis=(-2, -1))
    assert ink.min() > 0.01
    assert ink.max() < 0.45
    assert 0.05 < ink.mean() < 0.2
    assert pictures.max(axis=(-2, -1)).min() == 1
    assert 0.05 < ((pictures > 0) & (pictures < 1)).mean() < 0.2


def test_a_dot_and_a_line_are_drawn_where_they_are_with_their_width():
    # One straight stroke along the middle of the picture, with a pen of radius 2 pixels.
    share = np.linspace(0.25, 0.75, 9)
    x, y = share[None, None], np.full((1, 1, 9), 0.5)
    (picture,) = handwriting._rasterise(28, x, y, np.ones((1, 1), bool), np.array([2 / 28]))
    rows = np.abs(np.arange(28) + 0.5 - 14)
    expected = 255 * np.clip(2.5 - rows, 0, 1)
    for column in range(8, 20):
        assert np.abs(picture[:, column] - expected).max() <= 6
    assert not picture[:, :4].any()
    assert not picture[:, 24:].any()


def test_what_leaves_the_picture_is_cut_off():
    x, y = np.array([[[-3.0, 0.5]]]), np.array([[[0.5, 0.5]]])
    (picture,) = handwriting._rasterise(20, x, y, np.ones((1, 1), bool), np.array([0.1]))
    assert picture[10, :10].min() == 255
    assert not picture[:, 13:].any()


def test_nearest_neighbour_in_pixels_is_above_chance_and_beatable_by_default():
    assert 0.45 < nearest_neighbour(strokes()) < 0.65


def test_harder_is_harder():
    accuracy = [
        nearest_neighbour(strokes(classes=150, drawings=8, difficulty=difficulty))
        for difficulty in (0.25, "easy", "medium", "hard", 3.0)
    ]
    assert all(easier > harder + 0.03 for easier, harder in itertools.pairwise(accuracy))
    assert accuracy[0] > 0.85
    assert accuracy[-1] > 0.2


def test_a_number_is_a_multiple_of_medium():
    medium, one = (strokes(classes=3, drawings=2, difficulty=d).pictures for d in ("medium", 1.0))
    np.testing.assert_array_equal(medium, one)


def test_they_split_by_class():
    assert [len(part) for part in split(strokes(classes=400, drawings=1))] == [271, 25, 104]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"difficulty": "brutal"},
            "'easy', 'medium', 'hard' or a positive number up to 10 as difficulty but got 'brutal'",
        ),
        ({"difficulty": 0}, "but got 0"),
        ({"difficulty": float("nan")}, "but got nan"),
        ({"difficulty": 10.1}, "but got 10.1"),
        ({"classes": 0}, "as classes but got 0"),
        ({"drawings": 2.0}, "as drawings but got 2.0"),
        ({"size": -1}, "as size but got -1"),
        ({"seed": -1}, "as seed but got -1"),
    ],
)
def test_settings_that_cannot_be_are_refused(options, words):
    with pytest.raises(OptionError, match=rf"^\[strokes\] requires .*{words}"):
        strokes(**options)
