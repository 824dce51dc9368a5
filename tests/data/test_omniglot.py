"""Reading Omniglot: from zips and folders of its layout, by two image settings; clear words when it is not there."""

import itertools
import os
import re
import shutil
import zipfile

import archives
import numpy as np
import pytest

from metagrad import data
from metagrad.data import omniglot_files
from metagrad.errors import DataError, OptionError

REAL = os.environ.get("METAGRAD_DATA")


def read(where=None, **options):
    return data.omniglot(where, **{"subset": True, "progress": False} | options)


@pytest.fixture
def zips(tmp_path):
    return archives.write_zips(tmp_path / "zips")


def test_every_drawing_of_the_zips_is_read_in_order_and_ink_is_255(zips):
    classes = read(zips, size=archives.SIDE)
    assert classes.names == tuple(archives.names("images_background") + archives.names("images_evaluation"))
    assert classes.groups == ("background",) * 14 + ("evaluation",) * 4
    np.testing.assert_array_equal(classes.images[..., 0], 255 * archives.all_ink())


@pytest.mark.parametrize("inside", ["", "omniglot"])
@pytest.mark.parametrize("write", [archives.write_zips, archives.write_folders])
def test_zips_and_folders_and_their_parent_give_the_same(tmp_path, zips, write, inside):
    write(tmp_path / "data" / inside)
    expected, found = read(zips), read(tmp_path / "data")
    assert found.names == expected.names
    np.testing.assert_array_equal(found.images, expected.images)


def test_one_zip_with_both_parts_in_it_is_enough(tmp_path, zips):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as file:
        for part in archives.PARTS:
            for name, content in archives.members(part).items():
                file.writestr(f"omniglot/python/{name}", content)
    np.testing.assert_array_equal(read(tmp_path / "all.zip").images, read(zips).images)


@pytest.mark.parametrize("part", archives.PARTS)
def test_one_part_can_be_read_alone(tmp_path, zips, part):
    archives.write_folders(tmp_path / "folders")
    for where in (zips / f"{part}.zip", tmp_path / "folders" / part):
        assert read(where).names == tuple(archives.names(part))


def test_nearest_takes_the_pixel_under_each_centre(zips):
    centre = ((np.arange(28) + 0.5) * archives.SIDE / 28).astype(int)
    expected = 255 * archives.all_ink()[..., centre[:, None], centre]
    np.testing.assert_array_equal(read(zips, resample="nearest").images[..., 0], expected)


def test_lanczos_filters_grey(zips):
    # Lanczos' window of three lobes, stretched by the ratio of sizes, applied along each axis in turn.
    ratio = archives.SIDE / 28
    distance = (np.arange(archives.SIDE) + 0.5 - (np.arange(28)[:, None] + 0.5) * ratio) / ratio
    weights = np.where(np.abs(distance) < 3, np.sinc(distance) * np.sinc(distance / 3), 0)
    weights /= weights.sum(axis=1, keepdims=True)
    across = np.clip(archives.all_ink() * 255.0 @ weights.T, 0, 255)  # kept in bytes between the two passes
    expected = np.clip(weights @ across, 0, 255)
    found = read(zips, resample="lanczos").images[..., 0]
    assert np.abs(found - expected).max() <= 2
    assert ((found > 50) & (found < 200)).any()


def test_the_variable_is_asked_before_the_cache_folder(tmp_path, zips, cache, monkeypatch):
    archives.write_zips(cache / "omniglot")
    assert len(read()) == 18
    lone = tmp_path / "lone"
    archives.write_folders(lone)
    extra = lone / "images_evaluation" / "Tibetan" / "character03"
    (lone / "images_evaluation" / "Tibetan" / "character02").rename(extra)
    monkeypatch.setenv("METAGRAD_DATA", str(lone))
    assert read().names[-1] == "Tibetan/character03"
    assert read(zips).names[-1] == "Tibetan/character02"
    monkeypatch.setenv("METAGRAD_DATA", str(tmp_path / "nowhere"))
    assert read().names[-1] == "Tibetan/character02"


def test_classes_may_have_differing_numbers_of_drawings(tmp_path):
    archives.write_folders(tmp_path / "data")
    (tmp_path / "data/images_background/Korean/character01/0007_02.png").unlink()
    classes = read(tmp_path / "data")
    k = classes.names.index("Korean/character01")
    assert classes.counts.tolist() == [2 if n == k else 3 for n in range(18)]
    assert len(classes.drawings(k)) == 2


def test_missing_data_say_where_they_were_looked_for_and_what_else_there_is(tmp_path, cache, monkeypatch):
    monkeypatch.setenv("METAGRAD_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"^\[omniglot\] requires .* but got neither in ") as error:
        read()
    for told in (str(tmp_path / "nowhere"), str(cache), "github.com/brendenlake/omniglot", "data.strokes()"):
        assert told in str(error.value)
    monkeypatch.delenv("METAGRAD_DATA")
    with pytest.raises(DataError, match="METAGRAD_DATA is not set"):
        read()


def test_half_of_the_data_set_is_not_taken_for_the_whole(tmp_path):
    archives.write_folders(tmp_path / "data", ("images_evaluation",))
    with pytest.raises(DataError, match=r"images_evaluation alone in .*data"):
        read(tmp_path / "data")


@pytest.fixture
def whole(monkeypatch):
    """Has the small archives taken for the whole data set."""
    monkeypatch.setattr(omniglot_files, "CHARACTERS", {"background": 14, "evaluation": 4})
    monkeypatch.setattr(omniglot_files, "DRAWINGS", archives.DRAWINGS)


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        (
            ["images_evaluation/Tibetan/character02", "images_background/Korean"],
            r"requires 14 background and 4 evaluation characters with 3 drawings each, or subset=True to take what is "
            r"there, but got 12 background and 3 evaluation characters, in \S+/images_background and \S+_evaluation$",
        ),
        (
            ["images_background/Korean/character01/0007_02.png"],
            "14 background and 4 evaluation characters, Korean/character01 with 2 drawings, in",
        ),
        (
            [f"images_{part}/character01/0007_01.png" for part in ("background/Korean", "evaluation/Angelic")],
            "characters, Korean/character01 with 2 drawings and 1 more of another number than 3, in",
        ),
        (["images_background/*"], "but got 0 background and 4 evaluation characters, in"),
    ],
)
def test_a_copy_that_was_interrupted_is_not_taken_for_the_data_set(tmp_path, whole, lost, words):
    folder = archives.write_folders(tmp_path / "data")
    assert len(read(folder, subset=False)) == 18
    for path in itertools.chain.from_iterable(folder.glob(pattern) for pattern in lost):
        path.unlink() if path.is_file() else shutil.rmtree(path)
    with pytest.raises(DataError, match=words):
        read(folder, subset=False)
    left = read(folder)
    with pytest.raises(DataError, match=words):  # also when its pictures are in the cache
        read(folder, subset=False)
    assert left.counts.sum() == len(list(folder.glob("*/*/*/*.png")))


def test_one_part_alone_must_be_whole_too(tmp_path, zips, whole):
    assert len(read(zips / "images_evaluation.zip", subset=False)) == 4
    folder = archives.write_folders(tmp_path / "data") / "images_evaluation"
    shutil.rmtree(folder / "Tibetan" / "character01")
    with pytest.raises(DataError, match=r"requires 4 evaluation characters .* but got 3 evaluation characters, in"):
        read(folder, subset=False)


@pytest.mark.parametrize("broken", ["data", "data/images_evaluation/Tibetan/character01/0007_01.png"])
def test_a_link_that_leads_nowhere_is_called_so(tmp_path, zips, broken):
    if broken != "data":
        archives.write_folders(tmp_path / "data")
        (tmp_path / broken).unlink()
    (tmp_path / broken).symlink_to(tmp_path / "gone")
    with pytest.raises(DataError, match=rf"{broken}.? \(a symbolic link that leads nowhere\)"):
        read(tmp_path / "data")


@pytest.mark.parametrize("share", [0.2, 0.9, 0.999])
def test_a_partial_zip_is_called_one(zips, share):
    path = zips / "images_evaluation.zip"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"requires a whole zip but got .*images_evaluation\.zip, \d+ bytes, a partial"):
        read(zips)


def test_a_file_that_is_no_zip_is_called_so(zips):
    (zips / "images_evaluation.zip").write_bytes(b"<html>404</html>")
    with pytest.raises(DataError, match=r"images_evaluation\.zip, 16 bytes, no zip"):
        read(zips)


def test_a_corrupt_member_is_named(zips):
    path = zips / "images_background.zip"
    content = bytearray(path.read_bytes())
    name = b"images_background/Korean/character01/0007_02.png"
    start = content.index(name) + len(name)
    content[start + 20 : start + 40] = bytes(20)
    path.write_bytes(content)
    with pytest.raises(
        DataError, match=r"Korean/character01/0007_02\.png of .*images_background\.zip, which is corrupt"
    ):
        read(zips)


@pytest.mark.parametrize("place", [6, 10])
def test_a_zip_of_a_kind_that_cannot_be_read_is_named(zips, place):
    """The list at a zip's end says which version of the format each member needs, and how it is compressed."""
    path = zips / "images_background.zip"
    content = bytearray(path.read_bytes())
    for member in re.finditer(rb"PK\x01\x02", bytes(content)):
        content[member.start() + place] = 99
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"images_background\.zip"):
        read(zips)


@pytest.mark.parametrize("damage", [b"", b"GIF89a", archives.png(archives.ink_of("", "", 0, 0))[:-60]])
def test_a_damaged_picture_is_named(tmp_path, damage):
    archives.write_folders(tmp_path / "data")
    (tmp_path / "data/images_background/Korean/character01/0007_02.png").write_bytes(damage)
    with pytest.raises(DataError, match=r"can be decoded but got .*Korean.character01.0007_02\.png"):
        read(tmp_path / "data")


def test_a_zip_without_drawings_of_the_layout_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as file:
        file.writestr("cats/1.png", archives.png(np.ones((4, 4), bool)))
    with pytest.raises(DataError, match=r"requires drawings as .* but got none in .*other\.zip"):
        read(tmp_path / "other.zip")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"resample": "cubic"}, "'nearest' or 'lanczos' but got 'cubic'"),
        ({"size": 0}, "size but got 0"),
        ({"size": 2.5}, "size but got 2.5"),
        ({"download": True}, "but got both"),
    ],
)
def test_unknown_settings_are_refused_before_anything_is_read(tmp_path, options, words):
    with pytest.raises(OptionError, match=words):
        read(tmp_path, **options)


@pytest.mark.skipif(not REAL, reason="METAGRAD_DATA does not say where Omniglot is")
@pytest.mark.parametrize("resample", ["nearest", "lanczos"])
def test_the_real_omniglot_has_1623_characters_of_50_alphabets_drawn_by_20_people(resample):
    classes = read(REAL, resample=resample, subset=False)
    assert (len(classes), classes.groups.count("background"), classes.groups.count("evaluation")) == (1623, 964, 659)
    assert classes.images.shape == (1623, 20, 28, 28, 1)
    assert len({name.split("/")[0] for name in classes.names}) == 50
    assert 0.04 < classes.images.mean() / 255 < 0.12  # ink on paper, not paper on ink
    assert (set(np.unique(classes.images)) == {0, 255}) == (resample == "nearest")
    assert [len(part) for part in data.split(classes, "shuffled")] == [1100, 100, 423]
    assert [len(part) for part in data.split(classes, "paper")] == [1200, 100, 323]
    assert len(data.split(classes, "background").test) == 659
