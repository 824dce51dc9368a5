"""The emulation finds what is wrong with a kernel and lets what is right pass."""

from __future__ import annotations

import numpy as np
import pytest
from places import needs_emulation

from metagrad_kernels import KernelUnavailable
from metagrad_kernels.emulation import EmulationError, arrays, scheduled
from metagrad_kernels.launch import Source

pytestmark = needs_emulation
SCHEDULES = [("forward", 0), ("reverse", 0), ("random", 1)]

KERNELS = r"""
#include "common.cuh"

constexpr int TILE = 64;
struct Row { float x[TILE]; };

// y is x in tiles of 64, each turned round.
template <bool BARRIER, int SHIFT> __global__ void turned(const float* x, float* y) {
  auto& row = shared<Row>();
  int i = threadIdx.x;
  row.x[i] = x[blockIdx.x * TILE + i + SHIFT];
  if (BARRIER) __syncthreads();
  y[blockIdx.x * TILE + i] = row.x[TILE - 1 - i];
}

// Of a row that all but its last number was written to.
__global__ void unwritten(const float* x, float* y) {
  auto& row = shared<Row>();
  if (threadIdx.x < TILE - 1) row.x[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = row.x[threadIdx.x];
}

// The sum of 64 numbers by each of 64 threads.
__global__ void summed(const float* x, float* y) {
  auto& row = shared<Row>();
  float sum = warp_sum(x[threadIdx.x]);
  row.x[threadIdx.x / 32] = sum;
  __syncthreads();
  y[threadIdx.x] = row.x[0] + row.x[1];
}

// A copy that arrives later; WAITED tells whether it was waited for.
template <bool WAITED> __global__ void copied(const float* x, float* y) {
  auto& row = shared<Row>();
  if (threadIdx.x < TILE / 4) copy_16_later(&row.x[4 * threadIdx.x], x + 4 * threadIdx.x, threadIdx.x != 1);
  close_copies();
  wait_for_copies<WAITED ? 0 : 1>();
  __syncthreads();
  y[threadIdx.x] = row.x[threadIdx.x];
}

// What one thread waits for, not all do.
__global__ void left(const float* x, float* y) {
  if (threadIdx.x >= 40) return;
  __syncthreads();
}
__global__ void parted(const float* x, float* y) {
  if (threadIdx.x < 40) {
    __syncthreads();
  } else {
    __syncwarp();
    __syncthreads();
    __syncthreads();
  }
}
__global__ void half_a_warp(const float* x, float* y) {
  if (threadIdx.x < 16) y[threadIdx.x] = warp_sum(x[threadIdx.x]);
}

template <int BY> __global__ void beyond(const float* x, float* y) { y[int(threadIdx.x) + BY] = x[threadIdx.x]; }
__global__ void astray(const float* x, float* y) { y[threadIdx.x - 1] = x[threadIdx.x]; }  // unsigned
struct Large { float x[64 << 10]; };
__global__ void large(const float* x, float* y) { shared<Large>().x[threadIdx.x] = 0; }
"""
ENTRIES = (
    *("turned<true, 0>", "turned<false, 0>", "turned<true, 1>", "unwritten", "summed", "copied<true>", "copied<false>"),
    *("left", "parted", "half_a_warp", "beyond<0>", "beyond<1>", "beyond<-1>", "large", "astray"),
)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernels")
    (folder / "kernels.cu").write_text(KERNELS)
    return Source(str(folder / "here.py"), "kernels.cu", dict.fromkeys(ENTRIES, 255))


X = np.arange(128, dtype=np.float32)


def run(source, entry, blocks=1):
    """What a kernel makes of X, in each schedule."""
    found = []
    for schedule, seed in SCHEDULES:
        with scheduled(schedule, seed):
            x, y = arrays.asarray(X), arrays.zeros(128, np.float32)
            source.launch(entry, (blocks,), (64,), x, y)
            found.append(y.get())
    return found


def test_a_kernel_that_is_right_is_right_in_every_schedule(source):
    for got in run(source, "turned<true, 0>", blocks=2):
        np.testing.assert_array_equal(got, X.reshape(2, 64)[:, ::-1].reshape(-1))
    for got in run(source, "summed"):
        np.testing.assert_array_equal(got[:64], np.full(64, X[:64].sum()))


def test_a_barrier_that_was_removed_is_seen(source):
    expected = X[:64][::-1]
    assert not all(np.array_equal(got[:64], expected) for got in run(source, "turned<false, 0>"))
    forward, backward, _ = run(source, "turned<false, 0>")
    assert np.isnan(forward[0]), "what was read before it was written is NaN"
    assert np.isnan(backward[63])


def test_a_tile_that_is_off_by_one_reads_nan_behind_the_array(source):
    with scheduled("forward"):
        x, y = arrays.asarray(X[:64]), arrays.zeros(64, np.float32)
        source.launch("turned<true, 1>", (1,), (64,), x, y)
    assert np.isnan(y.get()[0])


def test_a_read_of_shared_memory_that_nothing_was_written_to_is_nan(source):
    for got in run(source, "unwritten"):
        assert np.isnan(got[63])
        np.testing.assert_array_equal(got[:63], X[:63])


def test_a_later_copy_arrives_when_it_is_waited_for(source):
    expected = X[:64].copy()
    expected[4:8] = 0  # where the kernel says that it is outside
    for got in run(source, "copied<true>"):
        np.testing.assert_array_equal(got[:64], expected)
    for got in run(source, "copied<false>"):
        assert np.isnan(got[:64]).all()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            "left",
            r"deadlock: thread \(0, 0, 0\) of block \(0, 0, 0\) waits for the block at line .*; thread \(40.*ended",
        ),
        ("parted", "deadlock: .*waits for the block"),
        ("half_a_warp", "deadlock: .*waits for its warp.*has ended"),
        ("large", "at most 228 kB of shared memory"),
        ("astray", r"an address that is no array's, by thread \(0, 0, 0\)"),
        ("beyond<-1>", "argument 1 was written to 1 elements before it"),
    ],
)
def test_what_no_kernel_may_do_is_said(source, entry, message):
    with pytest.raises(EmulationError, match=message):
        run(source, entry)


def test_a_write_behind_an_array_is_said(source):
    x, y = arrays.asarray(X[:64]), arrays.zeros(64, np.float32)
    source.launch("beyond<0>", (1,), (64,), x, y)
    with pytest.raises(EmulationError, match="argument 1 was written to 1 elements behind it"):
        source.launch("beyond<1>", (1,), (64,), x, y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("does", ["x[i]", "x[i] * 2", "1 / (1 + x[i] * x[i])"])
def test_a_bound_that_was_forgotten_is_seen_whatever_the_kernel_makes_of_what_it_read(does, dtype, tmp_path):
    text = "template <class T> __global__ void k(const T* x, T* y) { int i = threadIdx.x; y[i] = " + does + "; }"
    (tmp_path / "k.cu").write_text(text)
    entry = "k<float>" if dtype is np.float32 else "k<double>"
    source = Source(str(tmp_path / "here.py"), "k.cu", {entry: 32})
    x = arrays.asarray(np.ones(5, dtype))
    with pytest.raises(EmulationError, match="argument 1 was written to 1 elements behind it"):
        source.launch(entry, (1,), (32,), x, arrays.zeros(5, dtype))


def test_shared_memory_that_the_emulation_cannot_see_is_refused_with_what_it_can(tmp_path):
    (tmp_path / "wrong.cu").write_text("__global__ void wrong(float* y) { __shared__ float row[4]; y[0] = row[0]; }")
    source = Source(str(tmp_path / "here.py"), "wrong.cu", {"wrong": 32})
    with pytest.raises(KernelUnavailable, match=r"shared<Tiles>\(\);` of common.cuh"):
        source.launch("wrong", (1,), (1,), arrays.asarray(X))


def test_a_kernel_that_does_not_compile_names_its_file_and_line(tmp_path):
    (tmp_path / "wrong.cu").write_text("\n__global__ void wrong(float* y) { y[0] = nothing; }")
    source = Source(str(tmp_path / "here.py"), "wrong.cu", {"wrong": 32})
    with pytest.raises(KernelUnavailable, match=r"wrong.cu:2:\d+: error: .*nothing"):
        source.launch("wrong", (1,), (1,), arrays.asarray(X))


@pytest.mark.parametrize(
    ("grid", "block", "arguments", "message"),
    [
        ((0,), (64,), (X, X), "a grid from 1"),
        ((1, 70000), (64,), (X, X), "a grid from 1"),
        ((1,), (2000,), (X, X), "blocks of 1 to 1024 threads"),
        ((1,), (64,), (X,), "2 arguments but got 1"),
        ((1,), (64,), (X, np.float32(1)), "argument 1 requires an emulated array but got float32"),
        ((1,), (64,), (X, X.reshape(2, 64).T), "C-contiguous array"),
    ],
)
def test_a_launch_that_cannot_be_is_refused(source, grid, block, arguments, message):
    moved = [a if np.isscalar(a) else arrays.ndarray(a) for a in arguments]
    with pytest.raises(EmulationError, match=message):
        source.launch("unwritten", grid, block, *moved)


def test_an_entry_that_was_not_declared_is_refused(source):
    with pytest.raises(KeyError, match="an entry among"):
        source.launch("other", (1,), (64,), arrays.asarray(X))


@pytest.mark.parametrize(("given", "got"), [((X, X), "a numpy ndarray"), ((np.float32(1),), "no array")])
def test_what_is_on_no_device_is_refused(source, given, got):
    with pytest.raises(TypeError, match=rf"requires arrays of CuPy or of the emulation but got {got}"):
        source.launch("unwritten", (1,), (64,), *given)


def test_a_scalar_of_another_type_is_refused():
    from metagrad_kernels.relu.cuda import SOURCE

    x = arrays.asarray(X)
    with pytest.raises(EmulationError, match="argument 2 requires a NumPy scalar of int64 but got int32"):
        SOURCE.launch("relu<float>", (1,), (128,), x, x, np.int32(128))
