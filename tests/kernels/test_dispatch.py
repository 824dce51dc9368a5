"""Which implementation serves: by the array, by name, by preference; and what is said of those that cannot."""

from __future__ import annotations

import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from metagrad_kernels import KernelUnavailable, dispatch, emulation, kernels, prefer
from metagrad_kernels.dispatch import CPU, CUDA, REFERENCE, Implementation, Operation
from metagrad_kernels.erf import OPERATION as ERF
from metagrad_kernels.pooling import OPERATION as POOLING

X = np.zeros(3)
Y = emulation.arrays.asarray(X)


def chosen(operation, array):
    return operation.choose(array).__name__.rpartition(".")[2]


def test_a_preference_holds_inside_where_there_is_such_an_implementation():
    assert chosen(POOLING, X) == "cpu"
    with prefer("reference"):
        assert chosen(POOLING, X) == chosen(ERF, X) == "reference"
        assert chosen(POOLING, Y) == "cuda"  # the reference takes no such array
        with prefer("cpu"):
            assert chosen(POOLING, X) == "cpu"
        assert chosen(POOLING, X) == "reference"
        assert POOLING.choose(X, "cpu").__name__ == "metagrad_kernels.pooling.cpu"  # a name says more
    assert chosen(POOLING, X) == "cpu"


def test_a_preference_ends_with_an_exception_and_holds_in_its_own_thread_only():
    found = []

    def fail():
        with prefer("reference"):
            other = threading.Thread(target=lambda: found.append(chosen(POOLING, X)))
            other.start()
            other.join()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert found == ["cpu"]
    assert chosen(POOLING, X) == "cpu"


def test_a_name_that_no_operation_knows_is_refused():
    with (
        pytest.raises(ValueError, match=r"\[prefer\] requires an implementation of \[.*\] but got 'fast'"),
        prefer("fast"),
    ):
        pass


def test_what_is_preferred_and_cannot_run_says_so_instead_of_another_running(tmp_path, monkeypatch):
    package = tmp_path / "half_an_operation"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "cpu.py").touch()
    (package / "broken.py").write_text("import a_package_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    asked = REFERENCE._replace(module="broken", install="pip install it", on_request=True)
    operation = Operation("half_an_operation", asked, CPU)
    assert chosen(operation, X) == "cpu"
    with prefer("reference"), pytest.raises(KernelUnavailable, match=r"a_package_that_is_not_there.*pip install it"):
        operation.choose(X)


def status(implementation):
    return {row.operation: row for row in kernels() if row.implementation == implementation}


def with_cupy(monkeypatch, driver, count):
    """CuPy as it is on a machine with such a driver, and so many devices, or an error of this name."""

    class CUDARuntimeError(RuntimeError):
        pass

    def devices():
        if isinstance(count, str):
            raise CUDARuntimeError(f"cudaErrorSomething: {count}")
        return count

    runtime = SimpleNamespace(
        driverGetVersion=lambda: driver, getDeviceCount=devices, CUDARuntimeError=CUDARuntimeError
    )
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=SimpleNamespace(runtime=runtime)))
    monkeypatch.setattr(dispatch, "find_spec", lambda name: object())


@pytest.mark.parametrize(
    ("driver", "count", "reason"),
    [
        (0, 0, "CuPy finds no GPU, nor NVIDIA's driver for one"),
        (13000, 0, "CuPy finds no GPU"),
        (12000, "the driver is too old", "CuPy finds no GPU that it can use (the driver is too old)"),
        (13000, 1, ""),
    ],
)
def test_kernels_of_a_device_are_available_where_cupy_finds_one(monkeypatch, driver, count, reason):
    with_cupy(monkeypatch, driver, count)
    for row in status("cuda").values():
        assert (row.available, row.reason) == (not reason, reason)
    assert status("cpu")["pooling"].available


@pytest.mark.parametrize(("package", "implementation"), [("cupy", "cuda"), ("cupy", "numba"), ("numba_cuda", "numba")])
def test_a_package_that_is_missing_is_named_with_the_command_that_installs_it(monkeypatch, package, implementation):
    monkeypatch.setattr(dispatch, "find_spec", lambda name: None if name == package else object())
    row = status(implementation)["pooling"]
    assert not row.available
    name = package.replace("_", "-")
    assert row.reason == f'the package {name} is not installed; pip install "metagrad[cuda]"'


def test_a_cupy_that_cannot_be_imported_is_told(monkeypatch):
    monkeypatch.setattr(dispatch, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert "CuPy cannot be imported (" in status("cuda")["pooling"].reason


def test_an_implementation_may_be_a_module_of_another_name():
    implementation = Implementation("fast", "cpu", ("numpy.ndarray",), module="reference")
    assert Operation("metagrad_kernels.relu", implementation, CUDA).choose(X, "fast").__name__.endswith("reference")


def test_python_m_metagrad_shows_the_whole_command(monkeypatch, capsys):
    from metagrad.__main__ import main

    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(dispatch, "find_spec", lambda name: None)
    main()
    assert 'no: the package cupy is not installed; pip install "metagrad[cuda]"' in capsys.readouterr().out


def test_every_operation_has_a_kernel_for_a_gpu():
    operations = {row.operation for row in kernels()}
    assert operations == {row.operation for row in kernels() if row.implementation == "cuda"}


def test_an_array_that_is_not_taken_is_named():
    class Other:
        dtype = np.dtype(np.float32)

    with pytest.raises(KernelUnavailable, match=r"cuda takes no numpy\.ndarray$"):
        POOLING.choose(np.ones(2), "cuda")
    with pytest.raises(KernelUnavailable, match=r"nothing takes \S+Other$"):
        POOLING.choose(Other())
    with pytest.raises(TypeError, match=r"^\[pooling\] requires arrays but got list$"):
        POOLING.choose([1.0])
