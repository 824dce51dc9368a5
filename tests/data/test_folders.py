"""Pictures in folders, and the published lists of miniImageNet and CIFAR-FS, on small pictures of our own."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from metagrad import data
from metagrad.errors import DataError, OptionError

# Labels and how many pictures each has, by part; the lists of miniImageNet name files and labels.
PARTS = {"train": {"n01": 3, "n02": 2}, "val": {"n03": 2}, "test": {"n04": 4, "n05": 2}}


def pixels(label, number):
    """A picture of our own: uint8 (8, 8, 3). No two are alike."""
    return np.random.default_rng([*label.encode(), number]).integers(0, 256, (8, 8, 3)).astype(np.uint8)


def put(path, label, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(label, number)).save(path, "png")  # lossless, whatever the name says


def expected(label, count):
    return np.stack([pixels(label, number) for number in range(count)])


def has(classes, labels):
    assert classes.names == tuple(labels)
    for k, (label, count) in enumerate(labels.items()):
        np.testing.assert_array_equal(classes.drawings(k), expected(label, count))


@pytest.fixture
def folders(tmp_path):
    root = tmp_path / "pictures"
    for label, count in (("b", 2), ("a", 3), ("c", 1)):
        for number in range(count):
            put(root / label / f"{number}.png", label, number)
    (root / "a" / "notes.txt").write_text("not a picture")
    (root / "a" / "._0.png").write_bytes(b"not a picture either")
    (root / "empty").mkdir()
    return root


def test_each_folder_is_a_class(folders):
    has(data.image_folders(folders, size=8, progress=False), {"a": 3, "b": 2, "c": 1})


def test_classes_are_chosen_by_a_list_or_a_file_of_lines(folders, tmp_path):
    (tmp_path / "list.txt").write_text("c\na\n\n")
    for classes in (["c", "a"], tmp_path / "list.txt", str(tmp_path / "list.txt")):
        has(data.image_folders(folders, classes, size=8, progress=False), {"c": 1, "a": 3})


def test_pictures_are_resized_and_made_colour_or_ink(folders):
    Image.new("L", (10, 20), 255).save(folders / "c" / "0.png")
    white = data.image_folders(folders, ["c"], size=16, progress=False)
    assert white.images.shape == (1, 1, 16, 16, 3)
    assert white.images.min() == 255
    ink = data.image_folders(folders, ["c"], size=16, channels=1, progress=False)
    assert ink.images.shape == (1, 1, 16, 16, 1)
    assert ink.images.max() == 0


def test_a_picture_that_changed_is_read_again(folders):
    before = data.image_folders(folders, ["c"], size=8, progress=False)
    put(folders / "c" / "0.png", "another", 0)
    after = data.image_folders(folders, ["c"], size=8, progress=False)
    np.testing.assert_array_equal(before.images[0, 0], pixels("c", 0))
    np.testing.assert_array_equal(after.images[0, 0], pixels("another", 0))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"root": "nowhere"}, DataError, "a folder of pictures but got nowhere, which is none"),
        ({"classes": ["a", "zebra"]}, DataError, "pictures of zebra but got none in"),
        ({"classes": ["empty"]}, DataError, "pictures of empty but got none in"),
        ({"classes": "no-list.txt"}, DataError, "a list of classes, one on each line, but got no-list.txt"),
        ({"size": 0}, OptionError, "size but got 0"),
        ({"channels": 4}, OptionError, "1 or 3 channels but got 4"),
        ({"resample": "best"}, OptionError, "'nearest' or 'lanczos' but got 'best'"),
    ],
)
def test_what_cannot_be_read_is_refused(folders, change, error, words):
    with pytest.raises(error, match=rf"^\[image_folders\] requires .*{words}"):
        data.image_folders(**{"root": folders, "progress": False, **change})


@pytest.mark.parametrize("broken", ["", "b", "b/1.png"])
def test_a_link_that_leads_nowhere_is_called_so(folders, tmp_path, broken):
    path = folders / broken
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert len(data.image_folders(folders, size=8, progress=False)) == 3
    (tmp_path / "elsewhere").rename(tmp_path / "gone")
    with pytest.raises(DataError, match=rf"{path}'? \(a symbolic link that leads nowhere\)$"):
        data.image_folders(folders, size=8, progress=False)


def test_a_link_that_leads_nowhere_beside_the_chosen_classes_does_no_harm(folders, tmp_path):
    (folders / "d").symlink_to(tmp_path / "gone")
    has(data.image_folders(folders, ("a", "c"), size=8, progress=False), {"a": 3, "c": 1})


def test_a_folder_that_cannot_be_listed_is_named_and_not_left_out(folders, monkeypatch):
    original = os.scandir

    def scandir(path):
        if str(path) == str(folders / "b"):
            raise PermissionError(13, "Permission denied", str(path))
        return original(path)

    monkeypatch.setattr(os, "scandir", scandir)  # a test that runs as root may list all folders
    with pytest.raises(DataError, match=r"requires a folder that can be read but got .*Permission denied: .*b'"):
        data.image_folders(folders, size=8, progress=False)


def test_a_folder_without_classes_and_a_damaged_picture_are_refused(folders, tmp_path):
    with pytest.raises(DataError, match="a folder of pictures for each class but got none in"):
        data.image_folders(folders / "empty", progress=False)
    (folders / "b" / "1.png").write_bytes((folders / "b" / "0.png").read_bytes()[:90])
    with pytest.raises(DataError, match=r"can be decoded but got .*b.1\.png"):
        data.image_folders(folders, progress=False)
    (folders / "b" / "1.png").write_bytes(b"no picture at all")
    with pytest.raises(DataError, match=r"can be decoded but got \S+1\.png: what is no picture$"):
        data.image_folders(folders, progress=False)


@pytest.fixture
def lists(tmp_path):
    folder = tmp_path / "splits"
    folder.mkdir()
    for part, labels in PARTS.items():
        lines = [f"{label}{number:08}.jpg,{label}" for label, count in labels.items() for number in range(count)]
        (folder / f"{part}.csv").write_text("\n".join(["filename,label", *lines, ""]))
    return folder


def mini(root, layout):
    for part, labels in PARTS.items():
        for label, count in labels.items():
            for number in range(count):
                put(root / layout.format(part=part, label=label, file=f"{label}{number:08}.jpg"), label, number)
    return root


@pytest.mark.parametrize(
    "layout", ["{file}", "images/{file}", "{label}/{file}", "{part}/{label}/{file}", "images/{label}/{file}"]
)
def test_mini_imagenet_is_read_in_each_layout(tmp_path, lists, layout):
    parts = data.mini_imagenet(mini(tmp_path / "root", layout), lists, size=8, progress=False)
    for classes, labels in zip(parts, PARTS.values(), strict=True):
        has(classes, labels)


def test_mini_imagenet_is_84_by_84(tmp_path, lists):
    assert data.mini_imagenet(mini(tmp_path, "{file}"), lists, progress=False).train.shape == (84, 84, 3)


def test_mini_imagenet_is_decoded_once(tmp_path, lists, cache, monkeypatch):
    root = mini(tmp_path / "root", "images/{file}")
    first = data.mini_imagenet(root, lists, size=8, progress=False)
    assert len(list((cache / "decoded").iterdir())) == 3
    monkeypatch.setattr(data.folders, "read_classes", None)
    for one, again in zip(first, data.mini_imagenet(root, lists, size=8, progress=False), strict=True):
        np.testing.assert_array_equal(one.pictures, again.pictures)


def without_a_picture(root, lists):
    (root / "images/n0400000001.jpg").unlink()


def without_a_list(root, lists):
    (lists / "val.csv").unlink()


def with_another_heading(root, lists):
    (lists / "val.csv").write_text("a,b\n1,2\n")


def with_an_empty_list(root, lists):
    (lists / "val.csv").write_text("filename,label\n")


def with_a_list_twice(root, lists):
    (lists / "val.csv").write_bytes((lists / "train.csv").read_bytes())


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (without_a_picture, r"test\.csv lists but got \d+ of \d+ in \S+, not images/n0400000001\.jpg for one"),
        (without_a_list, r"lines filename,label .* but got .*val\.csv"),
        (with_another_heading, r"under this heading but got .*val\.csv"),
        (with_an_empty_list, r"but got .*val\.csv: .*no lines"),
        (with_a_list_twice, "do not overlap but got n01 in two of them"),
    ],
)
def test_mini_imagenet_says_what_is_missing(tmp_path, lists, spoil, words):
    root = mini(tmp_path / "root", "images/{file}")
    spoil(root, lists)
    with pytest.raises(DataError, match=rf"^\[mini_imagenet\] requires .*{words}"):
        data.mini_imagenet(root, lists, size=8, progress=False)


CIFAR = {"train": ["seal", "oak_tree"], "val": ["bee"], "test": ["cup"]}


@pytest.fixture
def cifar(tmp_path):
    path = tmp_path / "cifar_fs.json"
    path.write_text(json.dumps(CIFAR))
    return path


@pytest.mark.parametrize("above", [[""], ["data/"], ["train/", "test/"]])
def test_cifar_fs_takes_the_listed_classes_and_all_their_pictures(tmp_path, cifar, above):
    for name in ("seal", "oak_tree", "bee", "cup", "not_listed"):
        for number in range(4):
            put(tmp_path / "root" / above[number * len(above) // 4] / name / f"{number}.png", name, number)
    parts = data.cifar_fs(tmp_path / "root", cifar, size=8, progress=False)
    for classes, names in zip(parts, CIFAR.values(), strict=True):
        has(classes, dict.fromkeys(names, 4))
    assert data.cifar_fs(tmp_path / "root", cifar, progress=False).test.shape == (32, 32, 3)


def test_a_class_called_train_is_no_folder_of_classes(tmp_path):
    """CIFAR-100 has one."""
    lists = {"train": ["train"], "val": ["bee"], "test": ["cup"]}
    path = tmp_path / "lists.json"
    path.write_text(json.dumps(lists))
    for name in ("train", "bee", "cup"):
        put(tmp_path / "root" / name / "0.png", name, 0)
    for classes, names in zip(
        data.cifar_fs(tmp_path / "root", path, size=8, progress=False), lists.values(), strict=True
    ):
        has(classes, dict.fromkeys(names, 1))


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        ('{"train": ["seal"], "val": ["seal"], "test": ["unicorn"]}', "pictures of unicorn but got none"),
        ('{"train": ["seal"], "val": ["seal"], "test": ["seal"]}', "do not overlap but got seal in two of them"),
        ('{"train": ["seal"]}', "class names under each of train, val, test but got"),
        ('{"train": ["seal"], "val": [], "test": ["seal"]}', "class names under each of train, val, test but got"),
        ("[]", "class names under each of train, val, test but got"),
        ("{", "a list of classes in JSON but got"),
    ],
)
def test_cifar_fs_says_what_is_wrong(tmp_path, lists, words):
    put(tmp_path / "root" / "seal" / "0.png", "seal", 0)
    (tmp_path / "lists.json").write_text(lists)
    with pytest.raises(DataError, match=rf"^\[cifar_fs\] requires .*{words}"):
        data.cifar_fs(tmp_path / "root", tmp_path / "lists.json", size=8, progress=False)
