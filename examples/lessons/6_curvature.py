r"""
6. Meta-training fits the curvature to the step
===============================================

A step of gradient descent multiplies the error in a direction of curvature :math:`\lambda` by :math:`1 -
\alpha\lambda`. It solves the direction where :math:`\alpha\lambda = 1`, does little where that is small, and
overshoots where it is beyond 2. MAML cannot choose :math:`\alpha`, but it can choose where to start, and so the
Hessian there. This lesson measures the Hessian's spectrum before and after meta-training, with nothing but
Hessian-vector products.
"""

import matplotlib.pyplot as plt
import numpy as np
import optree
from optree.integrations.numpy import tree_ravel

import metagrad as mg
from metagrad import data, meta, nn, optim

# %%
# Lanczos' method (1950) finds the ends of a symmetric matrix's spectrum from k products with it: in the basis of
# :math:`v, Hv, H^2 v, \ldots`, made orthonormal, H is a small tridiagonal matrix whose eigenvalues, the *Ritz
# values*, are close to H's own outermost ones. How much of the random start v each holds gives the density of
# eigenvalues around it.


def lanczos(product, n, k):
    """Ritz values, ascending, and their weights, from k products with a symmetric matrix of size n."""
    v = np.random.default_rng(0).normal(size=n)
    basis, diagonal, beside = [v / np.linalg.norm(v)], [], []
    for _ in range(k):
        w = product(basis[-1])
        diagonal.append(w @ basis[-1])
        for _ in range(2):  # twice: rounding brings back directions that were found
            w = w - np.array(basis).T @ (np.array(basis) @ w)
        beside.append(np.linalg.norm(w))
        basis.append(w / beside[-1])
    values, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(beside[:-1], 1) + np.diag(beside[:-1], -1))
    return values, vectors[0] ** 2


known = np.diag(np.concatenate([np.linspace(-1, 1, 97), [5.0, 7.0, -3.0]]))
ritz, _ = lanczos(lambda v: known @ v, 100, 40)
print(f"Lanczos on a known matrix: {ritz[-1]:.10f} {ritz[-2]:.10f} {ritz[0]:.10f} for 7, 5 and -3")

# %%
# For a net the product is ``mg.hvp``. The net is that of the sinusoids, in float64, with 1,761 parameters: its
# Hessian has three million entries, and is never built. The loss is that of the support sets of 100 tasks, before
# any step.

dense = [nn.Dense(n, dtype=np.float64) for n in (40, 40, 1)]
NET = nn.Sequential(dense[0], nn.tanh, dense[1], nn.tanh, dense[2])


def loss(params, batch):
    return nn.mean_squared_error(NET.apply(params, batch[0]), batch[1])


def sample(generator, tasks):
    _, episode = data.episodes(generator, tasks, shots=10)
    return optree.tree_map(lambda a: a.astype(np.float64), episode)


support, query = sample(np.random.default_rng(7), 100)


def spectrum(params, k=40):
    flat, unflatten = tree_ravel(optree.tree_map(np.asarray, params))

    def product(v):
        found = mg.hvp(lambda p: loss(p, support), (params,), (unflatten(v),), mode="forward_over_reverse")
        return tree_ravel(optree.tree_map(np.asarray, found))[0]

    return lanczos(product, flat.size, k)


# %%
# Train by MAML with steps of three sizes, always from the same random start, and on all tasks at once (no inner step).

RATES = {0.002: "C3", 0.01: "C2", 0.05: "C0"}
START = NET.init(mg.random.key(0), (1,))


def train(lr, steps=1, iterations=250):
    maml = meta.MAML(loss, optim.Adam(2e-3), steps=steps, lr=lr)
    generator = np.random.default_rng(0)
    state = maml.init(START)
    for _ in range(iterations):
        state, _ = maml.step(state, sample(generator, 10))
    return state.params


starts = {"random": START, "all tasks at once": train(0.05, steps=0)}
starts |= {f"MAML, alpha {lr}": train(lr) for lr in RATES}
colours = dict(zip(starts, ("0.55", "C1", *RATES.values()), strict=True))
spectra = {name: spectrum(params) for name, params in starts.items()}
for name, (values, _) in spectra.items():
    print(f"{name:18} eigenvalues from {values[0]:6.2f} to {values[-1]:7.2f}")

# %%
# From the same start the three products :math:`\alpha\lambda` span a factor of 25: far too flat for the small step,
# far too steep for the large one. After MAML they span a factor of 4 and none is beyond 1. The flat one got
# steeper, the steep one flatter: the meta-gradient holds H, so it can tell.

tops = {lr: (lr * spectra["random"][0][-1], lr * spectra[f"MAML, alpha {lr}"][0][-1]) for lr in RATES}
spans = [max(column) / min(column) for column in zip(*tops.values(), strict=True)]
for lr, (before, after) in tops.items():
    print(f"alpha {lr:<5}: alpha times the largest eigenvalue, before {before:.3f}, after {after:.3f}")
print(f"they span a factor of {spans[0]:.1f} before, {spans[1]:.1f} after")

# %%
# And so steps of that size help. The query loss on tasks that none was trained on, with :math:`\alpha = 0.05`:


def errors(params, lr, steps=5):
    def trajectory(support, query):
        path = [params, *meta.adapt(loss, params, support, steps=steps, lr=lr, every_step=True)]
        return mg.stack([loss(p, query) for p in path])

    return np.asarray(mg.vmap(trajectory)(support, query)).mean(0)


judged = {name: errors(starts[name], 0.05) for name in ("random", "all tasks at once", "MAML, alpha 0.05")}
for name, curve in judged.items():
    print(f"{name:18} query loss {curve[0]:.3f}, after one step {curve[1]:.3f}, after five {curve[-1]:.3f}")

plt.style.use("metagrad.figures")
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4.4), width_ratios=(1.5, 0.8, 1))
for row, (name, (values, weights)) in enumerate(spectra.items()):
    left.scatter(values, np.full(len(values), -row), s=12 + 400 * weights, color=colours[name], alpha=0.7, lw=0)
for row, (lr, colour) in enumerate(RATES.items(), 2):
    left.plot([1 / lr] * 2, [-row - 0.35, -row + 0.35], color=colour, lw=2)
    left.annotate(r"$1/\alpha$", (1 / lr, -row), (5, -4), textcoords="offset points", color=colour)
left.set_xscale("symlog", linthresh=1)
left.set(
    yticks=range(0, -len(spectra), -1),
    xlabel="eigenvalue of the Hessian",
    title="Ritz values; area: share of a random direction",
)
left.set_yticklabels([name.replace("alpha", r"$\alpha$ =") for name in spectra])
left.set(ylim=(-len(spectra) + 0.4, 0.6), xlim=(-10, 2000))
for lr, ends in tops.items():
    middle.semilogy([0, 1], ends, "o-", color=RATES[lr])
    middle.annotate(
        rf"$\alpha$ = {lr}", (0, ends[0]), (-8, 0), textcoords="offset points", ha="right", va="center", color=RATES[lr]
    )
middle.axhline(1, color="0.3", ls="--", lw=1)
middle.axhspan(2, 8, color="0.93", zorder=0)
middle.text(0.5, 4, "overshoots", ha="center", va="center", color="0.4", fontsize=10)
middle.set(
    xticks=[0, 1],
    xlim=(-1.05, 1.4),
    ylim=(0.09, 8),
    yticks=[0.1, 0.3, 1, 3],
    yticklabels=["0.1", "0.3", "1", "3"],
    title=r"$\alpha \times$ largest eigenvalue",
)
middle.set_xticklabels(["random", "after MAML"])
for name, curve in judged.items():
    right.plot(curve, "o-", color=colours[name], label=name.replace("alpha", r"$\alpha$ ="))
right.set(xlabel="inner steps", ylabel="query loss", title=r"Steps of $\alpha$ = 0.05", ylim=(0, None))
right.legend(loc="lower left", fontsize=10)
figure.savefig("6_curvature.png")
