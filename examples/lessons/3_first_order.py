r"""
3. What first-order MAML throws away
====================================

First-order MAML takes the inner gradient for a constant. Then :math:`\partial\theta'/\partial\theta = I` instead of
:math:`I - \alpha H`, and whatever was there only to differentiate a derivative is never computed. This lesson shows the
cut in the graph, what it does to the meta-gradient while training goes on, and what it saves.
"""

import time
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import optree

import metagrad as mg
from metagrad import data, meta, nn, optim

# %%
# One parameter, one inner step: small enough that all of its graph can be seen. What is dashed is what goes.


def toy(w, target):
    return mg.cosh(w - target)


def after_one_step(w, first_order=False):
    return toy(meta.adapt(toy, w, 1.0, steps=1, lr=0.5, first_order=first_order), 2.0)


graph = mg.make_graph(mg.grad(after_one_step))(0.3)
print(mg.inspect.order_report(mg.grad(after_one_step), 0.3))

# %%
# Without what is cut, the graph is one that runs, too: it gives the first-order gradient. Both by hand:
# :math:`\nabla L(\theta')` times :math:`1 - \alpha \cosh(w - 1)`, or times 1.

exact, first = mg.grad(after_one_step)(0.3), mg.grad(after_one_step)(0.3, first_order=True)
print(f"toy: exact {float(exact):+.12f}   first order {float(first):+.12f}")
print(f"toy: what the cut leaves of the graph gives {float(mg.inspect.first_order_cut(graph)(0.3)):+.12f}")
print(f"toy: ratio {float(exact / first):.12f}   1 - alpha H {1 - 0.5 * np.cosh(0.3 - 1):.12f}")

# %%
# Now the sinusoid net, trained by MAML. At every tenth iteration both meta-gradients are taken at the same parameters,
# on the same 100 tasks, and the cosine of the angle between them is noted, for inner steps of three sizes.

NET = nn.Sequential(nn.Dense(40), nn.tanh, nn.Dense(40), nn.tanh, nn.Dense(1))
RATES = {0.01: "C0", 0.05: "C1", 0.2: "C2"}


def loss(params, batch):
    return nn.mean_squared_error(NET.apply(params, batch[0]), batch[1])


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in optree.tree_leaves(tree)]).astype(np.float64)


def meta_gradient(params, tasks, lr, first_order):
    return mg.grad(lambda p: meta.meta_loss(loss, p, tasks, steps=1, lr=lr, first_order=first_order))(params)


def cosine(params, tasks, lr):
    a, b = (flat(meta_gradient(params, tasks, lr, f)) for f in (False, True))
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def train(lr, iterations=150):
    """MAML's parameters, and the cosines on the way."""
    generator = np.random.default_rng(0)
    _, judges = data.episodes(generator, tasks=100, shots=10)
    maml = meta.MAML(loss, optim.Adam(2e-3), steps=1, lr=lr)
    state = maml.init(NET.init(mg.random.key(0), (1,)))
    cosines = []
    for iteration in range(iterations + 1):
        _, tasks = data.episodes(generator, tasks=10, shots=10)
        if iteration % 10 == 0:
            cosines.append(cosine(state.params, judges, lr))
        state, _ = maml.step(state, tasks)
    return state.params, cosines


trained = {lr: train(lr) for lr in RATES}
for lr, (_, cosines) in trained.items():
    print(f"alpha {lr:<4}: cosine from {cosines[0]:.4f}, mean {np.mean(cosines):.4f}, last {cosines[-1]:.4f}")

# %%
# For a small step :math:`I - \alpha H` is near I, and the cut changes little. For a large one it changes the
# direction, and by how much depends on where training is: the Hessian moves with the parameters.
#
# The saving is the same for all: a second-order meta-step, counted and timed beside its first-order form.

params = trained[0.05][0]
_, tasks = data.episodes(np.random.default_rng(1), tasks=25, shots=10)
kinds = {"MAML": False, "first-order": True}
costs, seconds = {}, {name: [] for name in kinds}
for name, first_order in kinds.items():
    costs[name] = mg.inspect.cost(
        mg.make_graph(partial(meta_gradient, lr=0.05, first_order=first_order))(params, tasks)
    )
for _ in range(40):  # one after the other, so that both meet the same machine
    for name, first_order in kinds.items():
        start = time.perf_counter()
        meta_gradient(params, tasks, 0.05, first_order)
        seconds[name].append(time.perf_counter() - start)
measures = {
    "equations": [c.total.equations for c in costs.values()],
    "Mflop": [c.total.flops / 1e6 for c in costs.values()],
    "live MB": [c.peak / 1e6 for c in costs.values()],
    "ms, best": [1e3 * min(s) for s in seconds.values()],
}
for name, (full, first) in measures.items():
    print(f"{name:10}  MAML {full:8.2f}   first-order {first:8.2f}   saved {100 * (1 - first / full):.0f}%")

# %%

plt.style.use("metagrad.figures")
figure = plt.figure(figsize=(12.5, 6.4))
(left, right) = figure.subfigures(1, 2, width_ratios=(1, 1.2))
ax = left.subplots()
mg.inspect.plot(graph, ax, cut=True)
ax.set_title("One inner step; dashed: cut by first-order MAML")
ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), handletextpad=0.2)
top, bottom = right.subplots(2, 1)
for lr, colour in RATES.items():
    top.plot(np.arange(0, 151, 10), trained[lr][1], color=colour, label=rf"$\alpha$ = {lr}")
top.set(
    xlabel="iteration of MAML",
    ylabel="cosine of their angle",
    title="How far the two meta-gradients agree",
    ylim=(None, 1.02),
)
top.legend(ncols=3)
shares = [first / full for full, first in measures.values()]
bottom.bar(range(len(shares)), shares, color="C0", width=0.6)
bottom.axhline(1, color="0.4", lw=1, ls="--")
for k, share in enumerate(shares):
    bottom.annotate(f"{share:.0%}", (k, share), (0, 3), textcoords="offset points", ha="center")
bottom.set(xticks=range(len(shares)), ylim=(0, 1.15), ylabel="of MAML's", title="What a first-order meta-step costs")
bottom.set_xticklabels(["equations", "operations", "live memory", "time"])
figure.savefig("3_first_order.png")
