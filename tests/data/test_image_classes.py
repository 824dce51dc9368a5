"""Pictures by class: shapes, subsets that share, quarter turns, and what cannot be changed."""

import pickle

import numpy as np
import pytest

from metagrad.data import ImageClasses
from metagrad.errors import DTypeError, IndexingError, OptionError, ShapeError

PICTURES = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 5, 2)).astype(np.uint8)
NAMES = ["a", "b", "c"]


@pytest.fixture
def classes():
    return ImageClasses.of(PICTURES, NAMES, ["x", "y", "y"])


def test_it_gives_back_what_it_was_made_of(classes):
    np.testing.assert_array_equal(classes.images, PICTURES)
    np.testing.assert_array_equal(classes.drawings(1), PICTURES[1])
    assert (len(classes), classes.names, classes.groups) == (3, ("a", "b", "c"), ("x", "y", "y"))
    assert classes.shape == (5, 5, 2)


def test_a_subset_keeps_the_order_asked_for_and_shares_the_pictures(classes):
    part = classes.subset([2, 0])
    np.testing.assert_array_equal(part.images, PICTURES[[2, 0]])
    assert (part.names, part.groups) == (("c", "a"), ("y", "x"))
    assert np.shares_memory(part.pictures, classes.pictures)
    np.testing.assert_array_equal(part.subset([1]).images, PICTURES[[0]])
    assert len(classes.subset([])) == 0


def test_with_rotations_makes_four_classes_of_each_without_copying(classes):
    turned = classes.subset([2, 0]).with_rotations()
    expected = [np.stack([np.rot90(p, k) for p in PICTURES[c]]) for c in (2, 0) for k in range(4)]
    np.testing.assert_array_equal(turned.images, expected)
    np.testing.assert_array_equal([turned.drawings(k) for k in range(8)], expected)
    assert turned.names[:5] == ("c", "c turned by 90", "c turned by 180", "c turned by 270", "a")
    assert turned.groups == ("y",) * 4 + ("x",) * 4
    assert np.shares_memory(turned.pictures, classes.pictures)


def test_classes_may_differ_in_their_numbers_of_drawings():
    uneven = ImageClasses.of([PICTURES[0], PICTURES[1, :2], PICTURES[2, 1:]], NAMES)
    assert uneven.counts.tolist() == [4, 2, 3]
    for part, expected in ((uneven, 1), (uneven.subset([2, 1]), 1)):
        np.testing.assert_array_equal(part.drawings(expected), PICTURES[1, :2])
    with pytest.raises(ShapeError, match=r"requires classes of equally many drawings but got 2 to 4"):
        _ = uneven.images
    np.testing.assert_array_equal(uneven.subset([1]).images, PICTURES[[1], :2])


def test_nothing_in_it_can_be_changed(classes):
    for array in (classes.pictures, classes.images, classes.drawings(0), classes.counts, classes.starts, classes.turns):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    with pytest.raises(AttributeError):
        classes.names = ()


def test_it_does_not_change_with_the_array_that_it_was_made_of():
    mine = PICTURES.copy()
    classes = ImageClasses.of(mine, NAMES)
    mine[:] = 0
    np.testing.assert_array_equal(classes.images, PICTURES)


def test_it_survives_pickling(classes):
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(classes)).images, PICTURES)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda c: ImageClasses.of(PICTURES / 255, NAMES), DTypeError, "requires uint8 but got .'float64'."),
        (lambda c: ImageClasses.of(PICTURES[0], NAMES), ShapeError, "for each class an array"),
        (lambda c: ImageClasses.of([PICTURES[0], PICTURES[1, :, :3]], NAMES), ShapeError, "alike but for the drawings"),
        (lambda c: ImageClasses.of([], []), ShapeError, "for each class an array"),
        (lambda c: ImageClasses.of(PICTURES, ["a"]), ShapeError, "as many names"),
        (lambda c: c.subset([3]), IndexingError, "class numbers of 0 to 2 but got .3."),
        (lambda c: c.subset([-1]), IndexingError, "class numbers of 0 to 2"),
        (lambda c: c.subset([1, 1]), IndexingError, "each class once but got .1, 1."),
        (lambda c: c.subset([True, False, True]), IndexingError, "class numbers of 0 to 2"),
        (lambda c: c.with_rotations().with_rotations(), OptionError, "not turned yet"),
        (lambda c: ImageClasses.of(PICTURES[:, :, :3], NAMES).with_rotations(), ShapeError, "square .* got 3 x 5"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(classes, make, error, words):
    with pytest.raises(error, match=words):
        make(classes)


def test_the_fingerprint_is_that_of_the_pictures_and_their_classes():
    pictures = np.arange(4 * 3 * 2 * 2, dtype=np.uint8).reshape(4, 3, 2, 2, 1)
    classes = ImageClasses.of(pictures, ["a", "b", "c", "d"])
    assert classes.fingerprint == ImageClasses.of(pictures.copy(), ["e", "f", "g", "h"]).fingerprint
    changed = pictures.copy()
    changed[3, 2, 1, 1, 0] += 1
    others = [
        ImageClasses.of(changed, classes.names),
        classes.subset([0, 1, 2]),
        classes.with_rotations(),
        ImageClasses.of(pictures.reshape(2, 6, 2, 2, 1), ["a", "b"]),
    ]
    assert len({classes.fingerprint, *(other.fingerprint for other in others)}) == 5
