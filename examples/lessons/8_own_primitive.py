"""
8. A primitive of your own, with kernels of your own
====================================================

A primitive is one class: what it computes, its derivative, its batching and its shape. Its rules are written with
differentiable operations, so every order exists as soon as the first does. Its ``forward`` runs on plain arrays
only and is never differentiated, so it may be anything: here a loop compiled by Numba for the CPU, and a kernel for
a GPU, in Python and in C++.
"""

import math
import timeit
import warnings

import matplotlib.pyplot as plt
import numba
import numpy as np

import metagrad as mg
from metagrad_kernels import emulation
from metagrad_kernels.launch import Source, namespace, type_name

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Numba says where its CUDA part is going to move
    from numba import cuda
numba.config.CUDA_LOW_OCCUPANCY_WARNINGS = 0  # the grids of this lesson are small on purpose

# %%
# The function is :math:`f(x) = 1 / (1 + x^2)`. NumPy takes three passes over memory for it, and makes three arrays;
# a kernel takes one. On the CPU it is a loop, compiled at the first call for the type that it meets.
# ``error_model="numpy"`` divides as NumPy does, without a look at each denominator, so that the compiler may take
# several elements at once.


@numba.njit(nogil=True, error_model="numpy")
def loop(x, out):
    for k in range(x.size):
        out[k] = 1 / (1 + x[k] * x[k])


def on_cpu(x):
    out = np.empty_like(x)
    loop(x.reshape(-1), out.reshape(-1))
    return out


# %%
# On a GPU each thread computes one element. This function takes an array of the host there and back, which for so
# little work costs more than it saves; arrays that live on the device would stay there.


@cuda.jit
def element(x, out):
    k = cuda.grid(1)
    if k < x.size:
        out[k] = 1 / (1 + x[k] * x[k])


def on_gpu(x, threads=128):
    flat = cuda.to_device(x.reshape(-1))
    out = cuda.device_array(flat.shape, flat.dtype)
    element[math.ceil(flat.size / threads), threads](flat, out)
    return out.copy_to_host().reshape(x.shape)


GPU = cuda.is_available()
print("kernel: " + ("CUDA" if GPU else "CPU (Numba finds no GPU; NUMBA_ENABLE_CUDASIM=1 simulates one)"))

# %%
# The class. ``vjp`` serves reverse mode, ``jvp`` forward mode, ``batch`` vmap, ``abstract`` graphs. The derivative,
# :math:`f' = -2 x f^2`, is written with the output, which is f itself: to differentiate the rule is to use it again.
# ``analytic`` says that ``forward`` is right on complex numbers, too, so that a complex step can measure it.


def floating(x):
    """Of integers, and of floats that are too short for the kernel, the floats that hold them."""
    return x.astype(np.result_type(x.dtype, np.float32), copy=False)


class Lorentzian(mg.Primitive):
    """f(x) = 1 / (1 + x^2), elementwise."""

    analytic = True
    work = 3

    def forward(self, x):
        x = floating(np.asarray(x, order="C"))
        return on_gpu(x) if GPU and x.size else on_cpu(x)

    def vjp(self, i, cotangent, output, x):
        return cotangent * -2 * x * output * output

    def jvp(self, i, tangent, output, x):
        return self.vjp(i, tangent, output, x)  # the Jacobian is diagonal: its own transpose

    def batch(self, batched, x):
        return self.bind(x)  # elementwise: a mapped axis is an axis like any other

    def abstract(self, x):
        return mg.Aval(x.shape, np.result_type(x.dtype, np.float32), x.device)


lorentzian = Lorentzian()

# %%
# Held against a formula: f is the imaginary part of :math:`-1 / (x + i)`, which is easy to differentiate.


def exact(order, x):
    return (-((-1) ** order) * math.factorial(order) / (x + 1j) ** (order + 1)).imag


f, x = lorentzian, mg.asarray(0.7)
for order in range(4):
    print(f"order {order}: {float(f(x)):+.12f} {exact(order, 0.7):+.12f}")
    f = mg.grad(f)
_, third = mg.jvp(mg.grad(mg.grad(lorentzian)), (x,), (1.0,))
print(f"third, forward over reverse over reverse: {float(third):+.12f}")

# %%
# And verified without one: all combinations of reverse and forward mode to third order, and the Taylor test, which
# needs no tolerance: the remainder after order 3 must fall as :math:`h^4`.

points = mg.asarray(np.linspace(-2, 2, 7))
print(mg.testing.check_gradients(lorentzian, [points], order=3))
print(
    f"Taylor: the remainder after order 3 falls as h^{mg.testing.check_taylor(lorentzian, [points], order=3).slope:.2f}"
)
mg.testing.check_hvp(lambda x: mg.sum(lorentzian(x) * mg.sin(x)), [points])

# %%
# The same kernel in CUDA C++, launched as the library launches its own: on CuPy's arrays, which stay on the GPU, or
# where there is none on those of an emulation. That compiles the same text with g++ for the CPU and runs every
# thread of it: slowly, but it tells of what a GPU would hide, a write past the end or a barrier that is missing. Of
# each entry it is said how many registers it may take of a thread.

SOURCE = Source(
    "",
    "lorentzian.cu",
    {"lorentzian<float>": 32, "lorentzian<double>": 32},
    text="""
template <class T> __global__ void lorentzian(const T* x, T* out, long n) {
  long k = blockIdx.x * static_cast<long>(blockDim.x) + threadIdx.x;
  if (k < n) out[k] = 1 / (1 + x[k] * x[k]);
}
""",
)


def launched(x, threads=128):
    xp = namespace(x)
    out = xp.empty(x.shape, x.dtype)
    if x.size:
        entry, grid = f"lorentzian<{type_name(x.dtype)}>", (math.ceil(x.size / threads),)
        SOURCE.launch(entry, grid, (threads,), xp.ascontiguousarray(x), out, np.int64(x.size))
    return out


class InCuda(Lorentzian):
    analytic = False  # the kernel knows no complex numbers, so it is held against differences

    def forward(self, x):
        if isinstance(x, np.ndarray | np.generic | float | int):  # the host's: there and back
            return launched(DEVICE.asarray(floating(np.asarray(x)))).get()
        return launched(floating(x))


def device():
    """CuPy where it has a GPU, else the emulation where it can compile, else None."""
    try:
        import cupy
    except ImportError:
        cupy = None
    if cupy is not None and cupy.cuda.is_available():
        return cupy
    return None if emulation.missing() else emulation.arrays


DEVICE = device()
if DEVICE is None:
    print(f"CUDA C++ is shown and not run: no GPU, and the emulation lacks {emulation.missing()}")
else:
    print(f"CUDA C++ on arrays of {DEVICE.__name__}:")
    print(mg.testing.check_gradients(InCuda(), [points], order=3))
    third = mg.grad(mg.grad(mg.grad(InCuda())))(mg.asarray(DEVICE.asarray(0.7)))
    print(f"its third derivative at 0.7, on {third.device}: {float(third):+.12f}")

# %%
# A check is worth what it finds. Leave the factor 2 out of the rule, and it says so, and where:


class Wrong(Lorentzian):
    def vjp(self, i, cotangent, output, x):
        return cotangent * -1 * x * output * output


try:
    mg.testing.check_gradients(Wrong(), [points], order=1)
except AssertionError as error:
    print("with a wrong rule:", *str(error).splitlines()[:3], sep="\n  ")

# %%
# It composes like every other: mapped, and in graphs that know the order of each equation.

grid = np.linspace(-3, 3, 241)
curves, f = [], lorentzian
for _ in range(4):
    curves.append(np.asarray(mg.vmap(f)(grid)))
    f = mg.grad(f)
off = max(abs(curve - [exact(order, t) for t in grid]).max() for order, curve in enumerate(curves))
print(f"under vmap, 241 points: differs from the formula by at most {off:.0e}")
report = mg.inspect.order_report(mg.grad(mg.grad(lorentzian)), x)
print(f"its second derivative: truly second order, {report.second_order}; equations by order {report.orders}")

sizes = [10**k for k in range(2, 7)]
times = {"NumPy, three passes": lambda v: 1 / (1 + v * v), "one compiled loop": on_cpu}
speed = {name: [] for name in times}
for size in sizes:
    v = np.random.default_rng(0).normal(size=size)
    for name, run in times.items():
        speed[name].append(1e9 * min(timeit.repeat(lambda run=run, v=v: run(v), number=1, repeat=20)) / size)
for name, found in speed.items():
    print(f"{name:19}: {found[-1]:.2f} ns an element, of {sizes[-1]:,}")

plt.style.use("metagrad.figures")
figure, (left, right) = plt.subplots(1, 2, figsize=(11.5, 4.6), width_ratios=(1.3, 1))
for order, (curve, colour) in enumerate(zip(curves, ("C0", "C1", "C2", "C3"), strict=True)):
    left.plot(grid, curve, color=colour, label=["f", "f '", "f ''", "f '''"][order])
    left.plot(grid[::12], [exact(order, t) for t in grid[::12]], "o", ms=4.5, mfc="white", color=colour)
left.plot([], [], "o", ms=4.5, mfc="white", color="0.3", label="formula")
left.set(xlabel="x", title=r"$f(x) = 1/(1+x^2)$ and its derivatives")
left.legend(loc="upper right")
for (name, found), colour, style in zip(speed.items(), ("C1", "C0"), ("s--", "o-"), strict=True):
    right.loglog(sizes, found, style, color=colour, label=name)
right.set(xlabel="elements", ylabel="nanoseconds an element", title="The forward pass, on this machine's CPU")
right.legend()
figure.savefig("8_own_primitive.png")
