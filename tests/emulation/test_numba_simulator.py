"""The kernels in Numba CUDA: run in Numba's simulator at toy sizes, compiled for a GPU that is not there."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from metagrad_kernels import KernelUnavailable, emulation, max_pool, prefer, softmax_cross_entropy
from metagrad_kernels.dispatch import NUMBA_CUDA

HERE = Path(__file__).parent
FOLDERS = ("pooling", "softmax_cross_entropy")
numba_cuda = pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")


def isolated(*command, **environment):
    """Output and errors of a fresh interpreter that finds the library."""
    path = os.pathsep.join([str(HERE.parents[1]), str(HERE.parents[1] / "kernels")])
    return subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_kernels_in_the_simulator_are_the_reference():
    done = isolated(str(HERE / "simulated.py"), NUMBA_ENABLE_CUDASIM="1")
    assert done.returncode == 0, done.stderr
    counts = {name: done.stdout.split().count(name) for name in done.stdout.split()}
    assert counts["max_pool"] == counts["window_scatter"] == counts["avg_pool"] == counts["avg_pool_transpose"] == 4
    assert counts["softmax_cross_entropy"] == counts["softmax_cross_entropy_gradient"] == 9
    assert counts["preferred"] == 1


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_kernel_compiles_for_a_gpu_that_is_not_here(folder):
    from numba import cuda

    from metagrad_kernels.cuda_numba import Kernel

    module = importlib.import_module(f"metagrad_kernels.{folder}.cuda_numba")
    kernels = [value for value in vars(module).values() if isinstance(value, Kernel)]
    assert len(kernels) >= 4
    for kernel in kernels:
        assert kernel.signatures
        for signature in kernel.signatures:
            code, _ = cuda.compile_ptx(kernel.function, signature, cc=(9, 0))
            assert ".target sm_90" in code
            assert "float32" not in str(signature) or ".f64" not in code  # no number was widened on the way


def test_without_the_simulator_emulated_arrays_are_refused_with_the_remedy():
    x = emulation.arrays.asarray(np.zeros((1, 2, 2, 1)))
    with pytest.raises(KernelUnavailable, match="NUMBA_ENABLE_CUDASIM=1"):
        max_pool(x, (2, 2), (2, 2), ((0, 0), (0, 0)), implementation="numba")
    with prefer("numba"), pytest.raises(KernelUnavailable, match="NUMBA_ENABLE_CUDASIM=1"):
        softmax_cross_entropy(x, emulation.arrays.asarray(np.zeros((1, 2, 2), int)))


def test_the_kernels_of_the_cpu_leave_numba_cuda_alone():
    code = """
import sys, numpy as np, metagrad_kernels as k
x = np.ones((1, 2, 2, 1))
k.max_pool(x, (2, 2), (2, 2), ((0, 0), (0, 0)), implementation="cpu")
k.softmax_cross_entropy(x[0, 0], np.zeros(2, int), implementation="cpu")
print([name for name in sys.modules if name.startswith(("numba.cuda", "numba_cuda", "cupy"))])
"""
    done = isolated("-W", "error", "-c", code)
    assert "[]" in done.stdout, done.stdout + done.stderr


class CuPy:
    """What a launch asks of CuPy, and a kernel that writes down how it was launched."""

    __name__ = "cupy"

    class ndarray:
        pass


def test_a_launch_goes_to_the_stream_of_cupy_and_waits_for_nothing(monkeypatch):
    from metagrad_kernels import cuda_numba

    told = []

    class Stream:
        ptr = 1234

    class FakeCuda:
        get_current_stream = staticmethod(Stream)

    class Configured(dict):
        def __missing__(self, key):
            told.append((key, cuda_numba.config.CUDA_LOW_OCCUPANCY_WARNINGS))
            return lambda *arguments: told.append(arguments)

    monkeypatch.setattr(CuPy, "cuda", FakeCuda, raising=False)
    monkeypatch.setattr(cuda_numba, "namespace", lambda array: CuPy())
    monkeypatch.setattr(cuda_numba.cuda, "external_stream", lambda pointer: f"stream {pointer}")
    monkeypatch.setattr(cuda_numba.cuda, "as_cuda_array", lambda array, sync: ("view", sync))
    kernel = cuda_numba.Kernel(lambda x, n: None, [])
    kernel._compiled = Configured()
    before = cuda_numba.config.CUDA_LOW_OCCUPANCY_WARNINGS
    kernel.launch((2,), (128,), CuPy.ndarray(), 5)
    assert told == [(((2,), (128,), "stream 1234"), 0), (("view", False), 5)]
    assert before == cuda_numba.config.CUDA_LOW_OCCUPANCY_WARNINGS != 0


def test_numba_serves_on_request_only():
    from metagrad_kernels.pooling import OPERATION

    x = emulation.arrays.asarray(np.zeros((1, 2, 2, 1)))
    assert OPERATION.choose(x).__name__ == "metagrad_kernels.pooling.cuda"
    assert OPERATION.choose(x, "numba").__name__ == "metagrad_kernels.pooling.cuda_numba"
    assert NUMBA_CUDA.on_request
