"""Arrays on a device, a GPU or the emulation of one: made there, moved, kept apart, and what is said where it fails."""

from __future__ import annotations

import platform
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from places import CUPY, DEVICE, needs_cuda

import metagrad as mg
from metagrad.core.devices import device_of
from metagrad.errors import DeviceError, OutOfMemoryError, TraceError
from metagrad.ops.activations import Masked
from metagrad_kernels import emulation

X = np.arange(6.0).reshape(2, 3)


def there(x=X):
    return mg.asarray(x, device=DEVICE)


def on_device(x):
    return x.device.partition(":")[0] == DEVICE


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")
@pytest.mark.parametrize("megabytes", [1, 100])
def test_an_array_is_made_where_one_was_freed(megabytes):
    import resource

    def page_faults():
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        np.empty(megabytes << 20, np.uint8)[:] = 1
        return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before

    page_faults()
    assert page_faults() < 10  # of up to 25,600 pages


@needs_cuda
@pytest.mark.parametrize(
    "make",
    [
        lambda device: mg.asarray([[1, 2], [3, 4]], dtype=mg.float32, device=device),
        lambda device: mg.zeros((2, 3), dtype=mg.int32, device=device),
        lambda device: mg.ones(3, device=device),
        lambda device: mg.empty(3, device=device),
        lambda device: mg.full((2,), -0.0, device=device),
        lambda device: mg.full((2,), 7, device=device),
        lambda device: mg.arange(1.0, 3.0, 0.5, device=device),
        lambda device: mg.linspace(0.0, 1.0, 5, device=device),
        lambda device: mg.eye(2, 3, k=1, device=device),
        lambda device: mg.zeros_like(X, device=device),
        lambda device: mg.ones_like(X, dtype=mg.float32, device=device),
        lambda device: mg.full_like(X, 2.5, device=device),
        lambda device: mg.random.key(2**40 + 3, device=device),
    ],
)
def test_arrays_are_made_on_a_device(make):
    made, expected = make(DEVICE), make("cpu")
    assert (on_device(made), expected.device) == (True, "cpu")
    assert (made.dtype, made.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(made.numpy(), expected.numpy())
    np.testing.assert_array_equal(np.signbit(made.numpy()), np.signbit(expected.numpy()))


@needs_cuda
def test_like_means_beside():
    x = there()
    for y in (mg.zeros_like(x), mg.ones_like(x), mg.empty_like(x), mg.full_like(x, 2), x * 2, mg.linspace(x, x, 3)):
        assert on_device(y)
    assert mg.zeros_like(x, device="cpu").device == "cpu"


@needs_cuda
def test_moving_there_and_back_keeps_the_bits_and_staying_copies_nothing():
    for dtype in ("float16", "float32", "float64", "int8", "uint32", "bool"):
        x = mg.asarray(X.astype(dtype))
        moved = x.to_device(DEVICE)
        assert on_device(moved)
        assert moved.to_device(DEVICE)._value is moved._value
        back = mg.asarray(moved, device="cpu")
        assert (back.device, back.dtype) == ("cpu", x.dtype)
        np.testing.assert_array_equal(back, x)
    assert mg.ones(2).to_device("cpu").device == "cpu"


@needs_cuda
def test_a_tree_is_moved_with_what_is_no_array_left_alone():
    tree = {"w": mg.ones(2), "n": (np.arange(3), 2, None, "name"), "depth": 0.5}
    moved = mg.to_device(tree, DEVICE)
    assert on_device(moved["w"])
    assert on_device(moved["n"][0])
    assert moved["n"][1:] == (2, None, "name")
    assert moved["depth"] == 0.5
    assert mg.to_device(moved, "cpu")["w"].device == "cpu"


@needs_cuda
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("add", lambda x, y: x + y),
        ("contract", lambda x, y: x @ y.T),
        ("where", lambda x, y: mg.where(y > 0, x, x)),
        ("concat", lambda x, y: mg.concat([x, y])),
        ("masked", lambda x, y: Masked()(x, y)),
        ("convolution", lambda x, y: mg.nn.conv2d(x[..., None], mg.ones((1, 1, 1, 2)))),
        ("solve", lambda x, y: mg.linalg.solve(x[:, :2], y[:, :2])),
        ("add", lambda x, y: mg.make_graph(mg.add)(x, y)),
        ("multiply", lambda x, y: mg.grad(lambda x: mg.sum(x * y))(x)),
        ("jvp", lambda x, y: mg.jvp(mg.sin, (x,), (y,))),
        ("vjp", lambda x, y: mg.vjp(mg.sin, x)[1](y)),
        ("SGD", lambda x, y: mg.optim.SGD(0.1).update(y, {"step": 0}, x)),
    ],
)
def test_arrays_of_two_devices_are_refused_and_both_named(name, call):
    with pytest.raises(
        DeviceError, match=rf"^\[{name}\] requires .*cpu.*{DEVICE}|^\[{name}\] requires .*{DEVICE}.*cpu"
    ):
        call(there(), mg.asarray(X))


@needs_cuda
def test_an_array_without_axes_goes_with_a_device_as_a_number_does():
    x = there(X.astype(np.float32))
    for number in (2.0, np.float32(2), mg.asarray(2.0, dtype=mg.float32), mg.sum(mg.ones(2, dtype=mg.float32))):
        y = x * number
        assert on_device(y)
        assert y.dtype == np.float32
        np.testing.assert_array_equal(y.numpy(), 2 * X)
    g = mg.grad(lambda scale, x: mg.sum(x * scale))(mg.asarray(1.0), there())
    assert float(g) == X.sum()


@needs_cuda
def test_what_a_tensor_says_of_itself():
    x = there()
    assert repr(x) == repr(mg.asarray(X)).replace("cpu", DEVICE)
    assert x.tolist() == X.tolist()
    assert float(x[1, 2]) == 5.0
    np.testing.assert_array_equal(np.asarray(x), X)
    with pytest.raises(ValueError, match="read-only"):
        x.numpy()[0] = 1
    (equation,) = mg.make_graph(mg.sin)(x).equations
    assert on_device(equation.outputs[0])


@needs_cuda
def test_what_a_user_changes_in_an_array_of_the_device_changes_no_tensor():
    array = there()._value.copy()
    x = mg.asarray(array)
    array[0] = 7.0
    np.testing.assert_array_equal(x.numpy(), X)


@needs_cuda
def test_a_traced_value_is_not_moved():
    with pytest.raises(DeviceError, match=r"^\[to_device\] requires arrays to be moved outside of transforms"):
        mg.grad(lambda x: mg.sum(x.to_device(DEVICE)))(mg.ones(2))
    assert mg.grad(lambda x: mg.sum(x.to_device("cpu")))(mg.ones(2)).device == "cpu"


@needs_cuda
def test_a_traced_value_is_not_handed_to_another_library():
    with pytest.raises(TraceError, match=r"^\[dlpack\]"):
        mg.grad(lambda x: mg.sum(mg.asarray(np.from_dlpack(x))))(np.ones(3))


def test_dlpack_shares_the_memory():
    x = there()
    back = mg.from_dlpack(x)
    np.testing.assert_array_equal(back.numpy(), X)
    if CUPY is None:
        assert np.shares_memory(back.numpy(), x._value.host)
    else:
        assert back._value.data.ptr == x._value.data.ptr
    array = np.arange(3.0)
    assert np.shares_memory(mg.from_dlpack(array).numpy(), array)


def test_another_librarys_array_on_a_gpu_is_taken_as_it_is(monkeypatch):
    taken = []

    class Theirs:
        __cuda_array_interface__ = {"shape": (2,), "typestr": "<f8", "data": (0, False), "version": 3}  # noqa: RUF012

    def asarray(x):
        taken.append(x)
        return np.arange(2.0)

    cuda = SimpleNamespace(runtime=SimpleNamespace(getDeviceCount=lambda: 1, CUDARuntimeError=RuntimeError))
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(asarray=asarray, cuda=cuda))
    given = Theirs()
    assert mg.asarray(given).tolist() == [0, 1]
    assert taken == [given]


def test_an_array_of_cupys_says_its_device():
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    memory = np.zeros(4)
    pointer = cupy.cuda.MemoryPointer(cupy.cuda.UnownedMemory(memory.ctypes.data, memory.nbytes, memory, 0), 0)
    x = mg.Tensor(cupy.ndarray((4,), np.float64, pointer))  # on no GPU, and not looked into
    assert x.device == "cuda:0"
    assert (
        mg.make_graph(lambda x: x.reshape(2, 2).T)(mg.Aval((4,), np.dtype(float), x.device)).outputs[0].device
        == "cuda:0"
    )
    assert on_device_named(mg.Tensor(x._value.reshape(2, 2)), "cuda:0")


def on_device_named(x, device):
    return device_of(x) == x.device == device


@needs_cuda
def test_a_matrix_without_inverse_or_factor_gives_no_number():
    a = there(np.stack([np.eye(2), np.ones((2, 2))]))
    found = mg.linalg.solve(a, mg.ones((2, 2, 1), device=DEVICE)).numpy()
    np.testing.assert_array_equal(found[0], 1.0)
    assert not np.isfinite(found[1]).any()
    for dtype in (np.float32, np.float64):
        b = there(np.array([[[4.0, 2.0], [2.0, 2.0]], [[1.0, 2.0], [2.0, 1.0]]], dtype))
        lower = mg.linalg.cholesky(b).numpy()
        np.testing.assert_allclose(lower[0], [[2, 0], [1, 1]])
        assert (lower.dtype, np.isnan(lower[1]).all()) == (dtype, True)


# What is said where there is none.


def fake_cupy(monkeypatch, **runtime):
    module = ModuleType("cupy")
    module.cuda = SimpleNamespace(runtime=SimpleNamespace(CUDARuntimeError=RuntimeError, **runtime))
    monkeypatch.setitem(sys.modules, "cupy", module)


def raising(error):
    def function():
        raise error

    return function


def no_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)


def no_driver(monkeypatch):
    error = RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")
    fake_cupy(monkeypatch, getDeviceCount=raising(error), driverGetVersion=lambda: 0)


def old_driver(monkeypatch):
    error = RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")
    versions = {"driverGetVersion": lambda: 12040, "runtimeGetVersion": lambda: 13000}
    fake_cupy(monkeypatch, getDeviceCount=raising(error), **versions)


def no_gpu(monkeypatch):
    fake_cupy(monkeypatch, getDeviceCount=lambda: 0)


def hidden_gpu(monkeypatch):
    fake_cupy(
        monkeypatch, getDeviceCount=raising(RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected"))
    )


@pytest.mark.parametrize(
    ("lacking", "words"),
    [
        (no_cupy, r'the package CuPy for .cuda. \(pip install "metagrad\[cuda\]"\) but got'),
        (no_driver, "an NVIDIA GPU and its driver .* but got a machine where CuPy finds no driver"),
        (old_driver, r"an NVIDIA driver for CUDA 13\.0 or later .* but got one for CUDA 12\.4"),
        (no_gpu, "an NVIDIA GPU .* but got a machine where CuPy finds none"),
        (hidden_gpu, "an NVIDIA GPU .* but got cudaErrorNoDevice"),
    ],
)
@pytest.mark.parametrize("call", [lambda: mg.asarray([1.0], device="cuda"), lambda: mg.zeros(2, device="cuda:0")])
def test_one_sentence_says_what_cuda_lacks(monkeypatch, lacking, words, call):
    lacking(monkeypatch)
    with pytest.raises(DeviceError, match=rf"^\[device\] requires {words}[^\n]*$"):
        call()


@pytest.mark.parametrize("name", ["tpu", "cuda:1", "cpu:0", "", "CUDA", 0])
def test_another_device_is_refused(name):
    for call in (
        lambda: mg.asarray([1.0], device=name),
        lambda: mg.to_device({}, name),
        lambda: mg.ones(2, device=name),
    ):
        with pytest.raises(DeviceError, match=r"^\[device\] requires 'cpu', 'cuda' or 'emulated' but got"):
            call()


class Hungry(mg.Primitive):
    """A stand-in for an operation on a device that has no room for its result."""

    def forward(self, x):
        raise MemoryError("Out of memory allocating 48 bytes (allocated so far: 0 bytes)")

    def abstract(self, x):
        return x


@needs_cuda
def test_a_device_out_of_memory_is_an_error_that_says_for_what_and_the_process_goes_on(monkeypatch):
    x = there()
    words = (
        rf"^\[hungry\] requires memory for float64\[2, 3\] \(48 bytes\) on {DEVICE} but got Out of memory allocating"
    )
    with pytest.raises(OutOfMemoryError, match=words):
        Hungry()(x)
    with pytest.raises(MemoryError):
        mg.grad(lambda x: mg.sum(Hungry()(x)))(x)
    np.testing.assert_array_equal((x + 1).numpy(), X + 1)


@pytest.mark.skipif(CUPY is not None, reason="takes the emulation for a full device")
@needs_cuda
def test_arrays_that_do_not_fit_where_they_are_made_or_moved(monkeypatch):
    full = raising(MemoryError("Out of memory"))
    monkeypatch.setattr(emulation.arrays, "empty", lambda *_, **__: full())
    with pytest.raises(OutOfMemoryError, match=r"^\[to_device\] requires memory for float64\[2, 3\] \(48 bytes\)"):
        mg.asarray(X, device=DEVICE)
    with pytest.raises(OutOfMemoryError, match=r"^\[zeros\] requires memory for float32\[5\] \(20 bytes\) on emulated"):
        mg.zeros(5, dtype=mg.float32, device=DEVICE)


def test_what_was_free_on_a_gpu_is_said(monkeypatch):
    from metagrad.core.devices import out_of_memory

    fake_cupy(monkeypatch, memGetInfo=lambda: (1000, 80_000))
    error = out_of_memory("matmul", "float32[9]", 36, sys.modules["cupy"], MemoryError("Out of memory"))
    need = "[matmul] requires memory for float32[9] (36 bytes) on cuda"
    assert str(error) == f"{need} but got Out of memory; 1,000 of 80,000 bytes were free"
