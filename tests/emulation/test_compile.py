"""NVRTC compiles every CUDA kernel, with no GPU, within the bounds that its module states.

For the newest architecture; the command compiles for the others, too.
"""

from __future__ import annotations

import pytest

from metagrad_kernels.compile import ARCHITECTURES, main, measure, sources
from metagrad_kernels.launch import Source

pytest.importorskip("cuda.core", reason="cuda-core, which compiles without a GPU, is not installed")
EVERY = [(source, entry) for source in sources() for entry in source.entries]


@pytest.mark.parametrize("architecture", ARCHITECTURES[-1:])
@pytest.mark.parametrize(("source", "entry"), EVERY, ids=[f"{source.path.name}-{entry}" for source, entry in EVERY])
def test_every_kernel_compiles_without_spills_within_its_registers(source, entry, architecture):
    found = measure(source, entry, architecture)
    assert found.error == ""
    assert found.registers > 0


def kernel(folder, text, registers=32):
    (folder / "k.cu").write_text(text)
    return Source(str(folder / "here.py"), "k.cu", {"k": registers})


def test_too_many_registers_and_spills_are_errors(tmp_path):
    text = "__global__ void k(float* x) { float s = 0; for (int i = 0; i < 9; ++i) s += x[i]; x[threadIdx.x] = s; }"
    assert measure(kernel(tmp_path, text), "k", "sm_90").error == ""
    assert "takes" in measure(kernel(tmp_path, text, registers=2), "k", "sm_90").error
    local = "volatile float s[64]; s[threadIdx.x] = x[0]; x[1] = s[threadIdx.y];"
    assert (
        "spills 256 bytes"
        in measure(kernel(tmp_path, f"__global__ void k(float* x) {{ {local} }}"), "k", "sm_90").error
    )


def test_an_error_has_the_file_and_the_line(tmp_path):
    found = measure(kernel(tmp_path, "\n__global__ void k(float* x) { x[0] = nothing; }"), "k", "sm_90")
    assert "k.cu(2): error" in found.error
    assert "nothing" in found.error


def test_the_table_has_a_line_for_each_kernel(monkeypatch, capsys):
    few = [source for source in sources() if len(source.entries) < 5]
    monkeypatch.setattr("metagrad_kernels.compile.sources", lambda: few)
    assert main(["--arch", "sm_90"]) == 0
    printed = capsys.readouterr().out
    assert all(source.path.name in printed for source in few)
    assert printed.count("sm_90") == sum(len(source.entries) for source in few) > 4
