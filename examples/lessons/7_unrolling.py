r"""
7. Unrolling fifty steps
========================

A meta-gradient through k inner steps is a product of k factors :math:`I - \alpha H`. All of the inner loop must be
kept for the walk back, unless it is computed again; and a product of many factors shrinks or grows. This lesson
measures both.
"""

import math
import tracemalloc
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
from optree import tree_leaves

import metagrad as mg
from metagrad import meta, nn

# %%
# A net on one task of 200 points, and the inner loop in segments. ``mg.checkpoint`` keeps a segment's inputs only,
# and runs the segment again when the walk back arrives there. It can itself be differentiated, so that nothing else
# changes.

NET = nn.Sequential(
    *[part for _ in range(2) for part in (nn.Dense(32, dtype=np.float64), nn.tanh)], nn.Dense(1, dtype=np.float64)
)
x = np.random.default_rng(0).uniform(-3, 3, (400, 1))
support, query = ((part, np.sin(2 * part)) for part in (x[:200], x[200:]))
theta = NET.init(mg.random.key(0), (1,))


def loss(params, batch):
    return nn.mean_squared_error(NET.apply(params, batch[0]), batch[1])


def meta_loss(params, steps, lr=0.05, segment=0):
    """The query loss after so many steps; with a segment length, checkpointed."""
    if not segment:
        return loss(meta.adapt(loss, params, support, steps=steps, lr=lr), query)
    for start in range(0, steps, segment):
        part = partial(meta.adapt, loss, support=support, steps=min(segment, steps - start), lr=lr)
        params = mg.checkpoint(part)(params)
    return loss(params, query)


# %%
# Without checkpoints memory grows with every step. With one a step, only the parameters on the way are kept, and
# the inner loop runs twice. Segments of about :math:`\sqrt k` steps keep fewer of those, but need a whole segment
# laid out at once: here a step computes more than the parameters hold, and the shortest segments win.

COUNTS = (1, 2, 5, 10, 20, 35, 50)
SEGMENTS = {
    "keep everything": lambda k: 0,
    "checkpoint each step": lambda k: 1,
    "checkpoint √k steps": lambda k: math.isqrt(k),
}
gradients, memory, work = {}, {}, {}
for name, length in SEGMENTS.items():
    for k in COUNTS:
        tracemalloc.start()
        gradients[name, k] = mg.grad(meta_loss)(theta, k, segment=length(k))
        memory[name, k] = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
    ten = mg.make_graph(partial(mg.grad(meta_loss), steps=10, segment=length(10)))(theta)
    work[name] = mg.inspect.cost(ten).total.flops
for name in SEGMENTS:
    said = ", ".join(f"{k} steps {memory[name, k]:.2f}" for k in (1, 10, 50))
    print(f"{name:21} peak MB: {said}; operations {work[name] / work['keep everything']:.2f}")


def vector(tree):
    return np.concatenate([np.ravel(leaf) for leaf in tree_leaves(tree)])


off = max(
    abs(vector(gradients[name, k]) - vector(gradients["keep everything", k])).max() for name in SEGMENTS for k in COUNTS
)
print(f"checkpointed gradients differ by at most {off:.0e}")

# %%
# The norm of the meta-gradient. With a small step the factors are near 1. With a larger one the support loss falls
# faster, and with it the gradient at the end. Past :math:`\alpha\lambda = 2` the inner loop diverges, and the
# meta-gradient faster.

RATES = {0.02: "C0", 0.1: "C1", 0.2: "C2"}
norms = {lr: [np.linalg.norm(vector(mg.grad(meta_loss)(theta, k, lr))) for k in COUNTS] for lr in RATES}
for lr, found in norms.items():
    print(
        f"alpha {lr:<4}: norm after 1 step {found[0]:.2e}, after {COUNTS[-1]} {found[-1]:.2e}, largest {max(found):.2e}"
    )

# %%
# Higher orders are hit harder, and one parameter shows why. Gradient descent on :math:`w^3/3 - w^2/2` is the
# logistic map :math:`w \mapsto w + \alpha (w - w^2)`. At the hilltop w = 0 the curvature is -1, so each step
# multiplies a small change by :math:`1 + \alpha`: the first derivative of k steps is :math:`(1+\alpha)^k`. The
# second feeds on the square of the first, the third on its cube: order n grows as :math:`(1 + \alpha)^{nk}`.

ALPHA = 0.2


def hill(w, _):
    return w**3 / 3 - w**2 / 2


def after(w, steps):
    return meta.adapt(hill, w, None, steps=steps, lr=ALPHA)


def derivative(f, order):
    """By forward mode: one input, and no tape to keep."""
    return f if order == 0 else derivative(lambda w: mg.jvp(f, (w,), (1.0,))[1], order - 1)


orders = {n: [abs(float(derivative(partial(after, steps=k), n)(0.0))) for k in COUNTS] for n in (1, 2, 3)}
for n, found in orders.items():
    rate = (found[-1] / found[-2]) ** (1 / (COUNTS[-1] - COUNTS[-2]))
    print(f"order {n}: {found[-1]:.4e} after {COUNTS[-1]} steps", end="; ")
    print(f"a step multiplies by {rate:.4f}, (1 + alpha)^{n} is {(1 + ALPHA) ** n:.4f}")
print(mg.testing.check_gradients(partial(after, steps=10), [mg.asarray(0.1)], order=3))

plt.style.use("metagrad.figures")
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4.4))
for name, colour, style in zip(SEGMENTS, ("C0", "C1", "C3"), ("o-", "s--", "^:"), strict=True):
    left.plot(COUNTS, [memory[name, k] for k in COUNTS], style, color=colour, label=name)
left.set(ylabel="peak memory, MB", title="Memory of a meta-gradient", ylim=(0, None))
for lr, colour in RATES.items():
    middle.semilogy(COUNTS, norms[lr], "o-", color=colour, label=rf"$\alpha$ = {lr}")
middle.set(ylabel="norm of the meta-gradient", title="A net: shrinking and growing")
middle.set(ylim=(0.02, 1e8))
middle.text(
    6, 2e6, f"$\\alpha$ = 0.2 reaches $10^{{{math.log10(norms[0.2][-1]):.0f}}}$ after 50 steps", color="C2", fontsize=10
)
for (n, found), colour, style in zip(orders.items(), ("C1", "C2", "C3"), ("o-", "s-", "^-"), strict=True):
    right.semilogy(
        COUNTS,
        [d or math.nan for d in found],
        style,
        color=colour,
        label=rf"order {n}, grows as $(1+\alpha)^{{{n if n > 1 else ''}k}}$",
    )
right.set(ylabel=r"$|\partial^n \theta_k / \partial \theta^n|$", title="One parameter on a hilltop")
for ax in (left, middle, right):
    ax.set(xlabel="inner steps k")
    ax.legend(fontsize=10)
middle.legend(loc="center right", fontsize=10)
figure.savefig("7_unrolling.png")
