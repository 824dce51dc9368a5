"""Saving and loading: bit for bit, whole or not at all, and a clear word for every file that is not ours."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

import metagrad as mg
from metagrad.errors import CheckpointError, DTypeError, TraceError

TREE = {
    "net": ({"kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.zeros(3)}, {}, [np.int32(7), ()]),
    3: [True, 4, 0.1, "text", None, -(2**70)],
    "a/b": np.array(1.5),
    "a": {"b": np.array(2.5)},
}


def same(x, y):
    assert type(x) is type(y) or isinstance(y, mg.Tensor)
    if isinstance(x, dict):
        assert list(x) == list(y)
        for key in x:
            same(x[key], y[key])
    elif isinstance(x, list | tuple):
        assert len(x) == len(y)
        for a, b in zip(x, y, strict=True):
            same(a, b)
    elif isinstance(y, mg.Tensor):
        a, b = np.asarray(x), y.numpy()
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert a.tobytes() == b.tobytes()
    else:
        assert x == y


def test_a_tree_comes_back_with_structure_types_and_bits(tmp_path):
    mg.save(tmp_path / "tree.safetensors", TREE)
    same(TREE, mg.load(tmp_path / "tree.safetensors"))
    same(TREE, mg.load(str(tmp_path / "tree.safetensors")))


DTYPES = ["float16", "float32", "float64", "int8", "int64", "uint8", "uint32", "uint64", "bool"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_keeps_its_bits(tmp_path, dtype):
    bits = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 256, (4, 8), np.uint8)
    array = bits.view(dtype)
    for x in (array, array[::2].T, array[:0], array[0, 0], np.asfortranarray(array)):
        mg.save(tmp_path / "x", x)
        same(np.ascontiguousarray(x).reshape(np.shape(x)), mg.load(tmp_path / "x"))


def test_special_values_and_the_sign_of_zero_are_kept(tmp_path):
    x = np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324])
    mg.save(tmp_path / "x", [x, float("inf"), -0.0])
    array, infinite, zero = mg.load(tmp_path / "x")
    assert array.numpy().tobytes() == x.tobytes()
    assert infinite == float("inf")
    assert str(zero) == "-0.0"


def test_big_endian_arrays_keep_their_values(tmp_path):
    mg.save(tmp_path / "x", np.array([1.0, 2.0], ">f8"))
    assert mg.load(tmp_path / "x").tolist() == [1, 2]


def test_metadata_comes_back(tmp_path):
    mg.save(tmp_path / "x", {}, metadata={"iteration": 3, "settings": ["a", None]})
    assert mg.load(tmp_path / "x", with_metadata=True) == ({}, {"iteration": 3, "settings": ["a", None]})


def test_arrays_are_named_by_their_path_for_other_readers_of_safetensors(tmp_path):
    from safetensors.numpy import load_file

    mg.save(tmp_path / "x", {"layers": [{"kernel": np.ones(2)}]})
    assert list(load_file(tmp_path / "x")) == ["layers/0/kernel"]


def test_what_is_loaded_is_immutable(tmp_path):
    mg.save(tmp_path / "x", np.ones(3))
    with pytest.raises(ValueError, match="read-only"):
        mg.load(tmp_path / "x").numpy()[0] = 5


def test_a_file_cut_anywhere_is_refused(tmp_path):
    path = tmp_path / "x"
    mg.save(path, {"w": np.arange(10.0)})
    content = path.read_bytes()
    for length in [*range(0, len(content), 7), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"\[load\] requires a whole file written by mg.save but got .*x'"):
            mg.load(path)


def test_foreign_files_are_refused(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "x"
    path.write_bytes(os.urandom(300))
    with pytest.raises(CheckpointError):
        mg.load(path)
    path.write_text(json.dumps({"w": 1}))
    with pytest.raises(CheckpointError):
        mg.load(path)
    for header in (None, "not json", "3", '{"format": 1, "tree": {"array": "v"}}', '{"format": 1, "tree": []}'):
        save_file({"w": np.ones(2)}, path, metadata=header and {"metagrad": header})
        with pytest.raises(CheckpointError, match="a safetensors file from elsewhere"):
            mg.load(path)
    save_file({"w": np.ones(2)}, path, metadata={"metagrad": '{"format": 99}'})
    with pytest.raises(CheckpointError, match="format 99"):
        mg.load(path)
    with pytest.raises(FileNotFoundError, match=r"\[load\]"):
        mg.load(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match=r"\[load\]"):
        mg.load(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(CheckpointError, match=r"\[save\] requires a folder that can be written but got"):
            mg.save(folder / "x", np.ones(2))


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    mg.save(tmp_path / "x", np.ones(2))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left"):
        mg.save(tmp_path / "x", np.zeros(2))
    assert mg.load(tmp_path / "x").tolist() == [1, 1]
    assert os.listdir(tmp_path) == ["x"]


def test_the_file_is_on_disk_before_it_takes_its_name(tmp_path, monkeypatch):
    events = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (events.append("fsync"), fsync(descriptor))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append("replace"), replace(a, b))[1])
    mg.save(tmp_path / "x", np.ones(2))
    assert events == ["fsync", "replace", "fsync"]


@pytest.mark.parametrize(
    ("tree", "error", "says"),
    [
        ({"f": print}, DTypeError, r"builtin_function_or_method at f"),
        ({"a": [{1, 2}]}, DTypeError, r"set at a/0"),
        ({(1, 2): np.ones(1)}, DTypeError, r"dict keys that are strings or integers but got \(1, 2\)"),
        ({"c": np.ones(2, complex)}, DTypeError, r"complex"),
    ],
)
def test_what_cannot_be_saved_is_named_and_nothing_is_written(tmp_path, tree, error, says):
    with pytest.raises(error, match=says):
        mg.save(tmp_path / "x", tree)
    with pytest.raises(DTypeError, match="metadata"):
        mg.save(tmp_path / "x", {}, metadata={"f": print})
    assert os.listdir(tmp_path) == []


def test_a_traced_value_cannot_be_saved(tmp_path):
    with pytest.raises(TraceError, match=r"\[save\] requires concrete arrays"):
        mg.grad(lambda x: (mg.save(tmp_path / "x", x), x)[1])(1.0)
