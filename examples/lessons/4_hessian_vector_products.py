r"""
4. Hessian-vector products, three ways
======================================

The factor :math:`I - \alpha H` is only ever multiplied with a vector, so :math:`H` need not be built: for n
parameters it has :math:`n^2` entries, while :math:`H v` costs a few gradients. Three ways to get it:

- *reverse over reverse*: differentiate the number :math:`\nabla L \cdot v`. Its backward pass runs through the
  gradient's.
- *forward over reverse*: push the tangent :math:`v` through the gradient (Pearlmutter 1994).
- *numeric*: :math:`(\nabla L(\theta + h v) - \nabla L(\theta - h v)) / 2h`. No second derivative is needed, and the
  price is digits.
"""

import time

import matplotlib.pyplot as plt
import numpy as np

import metagrad as mg

# %%
# A net with two hidden layers on 200 points, parameters in one vector.


def sizes(width):
    return [(2, width), (width, width), (width, 1)]


def net(theta, x, width):
    start = 0
    for rows, columns in sizes(width):
        kernel = mg.reshape(theta[start : start + rows * columns], (rows, columns))
        start += rows * columns
        x = x @ kernel if columns == 1 else mg.tanh(x @ kernel)
    return x[:, 0]


rng = np.random.default_rng(0)
inputs = rng.normal(size=(200, 2))
targets = np.sin(inputs[:, 0]) * inputs[:, 1]


def setting(width):
    """The loss of a net of that width, a point and a direction."""
    n = sum(rows * columns for rows, columns in sizes(width))
    generator = np.random.default_rng(1)
    point = mg.asarray(generator.normal(size=n) / np.sqrt(width))
    return lambda theta: mg.mean((net(theta, inputs, width) - targets) ** 2), point, generator.normal(size=n)


MODES = {"reverse over reverse": "reverse_over_reverse", "forward over reverse": "forward_over_reverse"}


def product(f, theta, v, mode):
    return mg.hvp(f, (theta,), (mg.asarray(v),), mode=mode)


def numeric(f, theta, v, h):
    gradient = mg.grad(f)
    return (gradient(theta + h * v) - gradient(theta - h * v)) / (2 * h)


# %%
# Digits first. The oracle is the Hessian itself, which is affordable for 108 parameters, and the complex step of
# ``mg.testing``, which shares nothing with either mode: it runs the gradient's graph on complex numbers.

f, theta, v = setting(width=9)
oracle = mg.testing.complex_step(mg.grad(f), [np.asarray(theta)], [v])
print(f"parameters: {v.size}; oracle: {oracle.oracle}")


def digits(found):
    error = abs(np.asarray(found) - oracle.value).max() / abs(oracle.value).max()
    return min(-np.log10(max(error, 1e-300)), 15.7)


print(f"explicit Hessian       {digits(mg.hessian(f)(theta) @ v):5.1f} digits")
for name, mode in MODES.items():
    print(f"{name:21}  {digits(product(f, theta, v, mode)):5.1f} digits")

# %%
# A difference has a truncation error that grows as :math:`h^2` and a rounding error that grows as :math:`1/h`. The best
# step is a bargain between them, and still loses a third of the digits. In float32 hardly any are left.

steps = 10.0 ** np.arange(-12, 0.1, 0.5)
single, direction = mg.asarray(np.asarray(theta, np.float32)), v.astype(np.float32)
lost = {
    "float64": [digits(numeric(f, theta, v, h)) for h in steps],
    "float32": [digits(numeric(f, single, direction, np.float32(h))) for h in steps],
}
for name, found in lost.items():
    best = int(np.argmax(found))
    print(f"numeric, {name}       {found[best]:5.1f} digits at best, with h = {steps[best]:.0e}")
print(mg.testing.check_hvp(f, [theta]))

# %%
# Now the cost, in gradients: operations, live memory and time of each way, for nets of growing width. All stay a small
# multiple of one gradient however many parameters there are. The explicit Hessian takes as many products as that.

widths = (8, 16, 32, 64, 128)
ways = {name: (lambda f, t, v, mode=mode: product(f, t, v, mode)) for name, mode in MODES.items()}
ways["numeric"] = lambda f, t, v: numeric(f, t, v, 1e-5)
rows = {name: [] for name in ways}
for width in widths:
    f, theta, v = setting(width)
    v = mg.asarray(v)
    gradient = mg.make_graph(mg.grad(f))(theta)
    runs = {"gradient": lambda f=f, theta=theta: mg.grad(f)(theta)}
    runs |= {name: (lambda way=way, f=f, theta=theta, v=v: way(f, theta, v)) for name, way in ways.items()}
    seconds = {name: [] for name in runs}
    for _ in range(25):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    base = mg.inspect.cost(gradient)
    for name, way in ways.items():
        found = mg.inspect.cost(mg.make_graph(lambda t, v, way=way, f=f: way(f, t, v))(theta, v))
        ratio = min(seconds[name]) / min(seconds["gradient"])
        rows[name].append((found.total.flops / base.total.flops, found.peak / base.peak, ratio))
for name, found in rows.items():
    flops, memory, ratio = found[-1]
    print(f"{name:21}  in gradients: flop {flops:.2f}, live memory {memory:.2f}, time {ratio:.2f}")

# %%

plt.style.use("metagrad.figures")
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4.4))
colours = dict(zip(ways, ("C0", "C1", "C3"), strict=True))
exact = digits(product(*setting(9), "reverse_over_reverse"))
left.axhline(exact, color="C0", lw=2)
left.text(1e-12, exact - 0.15, "both exact ways", color="C0", va="top")
left.semilogx(steps, lost["float64"], "o-", ms=4, color="C3", label="numeric, float64")
left.semilogx(steps, lost["float32"], "s--", ms=4, color="C4", label="numeric, float32")
left.set(
    xlabel="step h of the difference",
    ylabel="correct digits of H v",
    title="Digits",
    ylim=(-1.5, 16.8),
    yticks=range(0, 16, 3),
)
left.legend(loc="upper right", bbox_to_anchor=(1, 0.9))
parameters = [sum(r * c for r, c in sizes(width)) for width in widths]
for ax, column, title in ((middle, 0, "Operations"), (right, 1, "Live memory")):
    for (name, found), style in zip(rows.items(), ("o-", "s--", "^:"), strict=True):
        ax.semilogx(parameters, [row[column] for row in found], style, color=colours[name], label=name)
    ax.set(xlabel="parameters", ylabel="in gradients", title=f"{title} of H v", ylim=(0, None))
middle.legend(loc="lower right")
figure.savefig("4_hessian_vector_products.png")
