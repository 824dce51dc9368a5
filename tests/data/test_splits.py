"""Splits: no class on two sides, sizes as published, and a seed that decides."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metagrad.data import Episodes, ImageClasses, split
from metagrad.errors import DataError, DTypeError, OptionError

# As many characters as Omniglot: 30 background and 20 evaluation alphabets.
NAMES = [f"Alphabet{k % 30:02}/character{k // 30:02}" for k in range(964)]
NAMES += [f"Test{k % 20:02}/character{k // 20:02}" for k in range(659)]
GROUPS = ["background"] * 964 + ["evaluation"] * 659


def plain(number, groups=(), names=None):
    return ImageClasses.of(np.zeros((number, 1, 1, 1, 1), np.uint8), names or [str(k) for k in range(number)], groups)


OMNIGLOT = plain(1623, GROUPS, NAMES)


def listed(folder, parts):
    """Vinyals' form, of part -> names."""
    for part, names in parts.items():
        content = {"background": {}, "evaluation": {}}
        for name in names:
            alphabet, character = name.split("/")
            group = content["background" if alphabet.startswith("Alphabet") else "evaluation"]
            group.setdefault(alphabet, []).append(character)
        (folder / f"{part}.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def lists(tmp_path):
    return listed(tmp_path, {"train": NAMES[:1028], "val": NAMES[1028:1200], "test": NAMES[1200:]})


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("kind", "sizes"),
    [("shuffled", (1100, 100, 423)), ("paper", (1200, 100, 323)), ("vinyals", (1028, 172, 423)), ("background", None)],
)
def test_parts_have_their_sizes_share_no_class_and_leave_none_out(lists, kind, sizes, seed):
    parts = split(OMNIGLOT, kind, seed=seed, lists=lists)
    assert sizes is None or tuple(map(len, parts)) == sizes
    for one, other in itertools.combinations(parts, 2):
        assert not {*one.names} & {*other.names}
        assert not {*one.starts.tolist()} & {*other.starts.tolist()}
    assert sorted(itertools.chain(*(part.names for part in parts))) == sorted(NAMES)


def test_background_divides_by_alphabet_and_tests_on_the_evaluation_alphabets():
    parts = split(OMNIGLOT, "background")
    train, validation, test = ({name.split("/")[0] for name in part.names} for part in parts)
    assert set(parts.test.groups) == {"evaluation"}
    assert set(parts.train.groups) == set(parts.validation.groups) == {"background"}
    assert (len(train), len(validation), len(test)) == (25, 5, 20)
    assert not train & validation


@pytest.mark.parametrize("kind", ["shuffled", "paper", "background"])
def test_the_seed_decides(kind):
    names = [split(OMNIGLOT, kind, seed=seed).validation.names for seed in (0, 0, 1)]
    assert names[0] == names[1] != names[2]


def test_a_shuffle_does_not_follow_the_alphabets():
    test = split(OMNIGLOT, "shuffled").test
    assert 0.35 < test.groups.count("evaluation") / len(test) < 0.46  # 659 / 1623 = 0.41


@given(number=st.integers(3, 60), seed=st.integers(0, 9), kind=st.sampled_from(["shuffled", "paper"]))
def test_other_data_sets_are_divided_in_the_same_proportions_and_no_part_is_empty(number, seed, kind):
    parts = split(plain(number), kind, seed=seed)
    assert sorted(itertools.chain(*(part.names for part in parts))) == sorted(map(str, range(number)))
    share = (1100, 100, 423) if kind == "shuffled" else (1200, 100, 323)
    assert all(abs(len(part) - number * s / 1623) <= 1 or number < 16 for part, s in zip(parts, share, strict=True))
    assert all(parts)


def test_so_few_classes_are_divided_with_one_for_validation():
    for kind in ("shuffled", "paper"):
        sizes = {number: tuple(map(len, split(plain(number), kind))) for number in (3, 4, 6)}
        assert sizes == {3: (1, 1, 1), 4: (2, 1, 1), 6: (4, 1, 1)}


def test_lists_are_taken_in_their_order(tmp_path):
    names = ["Alphabet00/character01", "Alphabet00/character00", "Test03/character02"]
    parts = split(
        OMNIGLOT, "vinyals", lists=listed(tmp_path, {"train": names, "val": [], "test": ["Test00/character00"]})
    )
    assert parts.train.names == tuple(names)
    assert (len(parts.validation), parts.test.names) == (0, ("Test00/character00",))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: (f / "val.json").unlink(), r"requires a list of classes in JSON but got .*val\.json"),
        (lambda f: (f / "val.json").write_text("{"), r"in JSON but got .*val\.json"),
        (lambda f: (f / "val.json").write_text("[1, 2]"), r"of the form .* but got .*val\.json"),
        (lambda f: listed(f, {"val": ["Alphabet99/character00"]}), "a data set without Alphabet99/character00"),
        (lambda f: listed(f, {"val": NAMES[:1]}), r"do not overlap but got .*train\.json and .*val\.json"),
    ],
)
def test_lists_that_cannot_be_right_are_named(lists, spoil, words):
    spoil(lists)
    with pytest.raises(DataError, match=words):
        split(OMNIGLOT, "vinyals", lists=lists)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: split(OMNIGLOT, "random"), "'shuffled', 'paper', 'background' or 'vinyals' but got 'random'"),
        (lambda: split(OMNIGLOT, "vinyals"), "the folder of its lists, lists=FOLDER, but got none"),
        (lambda: split(plain(40), "background"), "background alphabets, and evaluation ones, but got 0"),
        (lambda: split(OMNIGLOT.with_rotations()), "classes that are not turned"),
        (lambda: split(OMNIGLOT, seed=-1), "at least 0 as seed but got -1"),
        (lambda: split(plain(2)), "at least 3 classes, one for each part, but got 2"),
    ],
)
def test_what_cannot_be_split_is_refused(make, words):
    with pytest.raises(OptionError, match=words):
        make()


def test_pictures_that_are_no_classes_yet_are_refused_with_the_way_to_make_them_so():
    pictures = np.zeros((5, 3, 28, 28, 1), np.uint8)
    for make in (lambda: split(pictures), lambda: Episodes(pictures, ways=2, shots=1, queries=1)):
        with pytest.raises(DTypeError, match=r"an ImageClasses, as ImageClasses.of\(images, names\) makes one"):
            make()
