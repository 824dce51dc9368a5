r"""
0. A start from which every task is one step away
=================================================

A *task* is a data set of its own: a few *support* points to learn from, and *query* points that say how well it was
learned. Meta-learning looks for one start :math:`\theta` from which a gradient step on the support points of *any*
task,

.. math:: \theta' = \theta - \alpha \nabla L(\theta),

gives parameters :math:`\theta'` that are good on that task's query points. This lesson draws both halves of that
sentence, with tasks simple enough that the best start has a formula.
"""

import matplotlib.pyplot as plt
import numpy as np

import metagrad as mg
from metagrad import data, meta

# %%
# Tasks come from a distribution. Here each is a sine wave of its own amplitude and phase: five points to learn
# from, five to be judged by. No single function fits all of them, so the start cannot be a solution; it has to be
# *near* many.

tasks, (support, query) = data.episodes(np.random.default_rng(2), tasks=6, shots=5)
print(f"support: inputs {support[0].shape} and targets {support[1].shape}, (tasks, points, 1); query alike")

# %%
# For the second half, let parameters be points of a plane, and the loss of task i a valley around its own solution
# :math:`c_i`, with Hessian :math:`H_i`, for support and query alike. Each valley is steep in one direction and flat in
# the other.


def loss(w, task):
    """(w - c) . H (w - c) / 2."""
    centre, hessian = task
    return 0.5 * (w - centre) @ hessian @ (w - centre)


def turned(steep, flat, degrees):
    """A symmetric matrix with these eigenvalues; the steep direction is at so many degrees."""
    t = np.deg2rad(degrees)
    u = np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
    return u @ np.diag([steep, flat]) @ u.T


centres = np.array([[3.0, 0.6], [2.0, 2.4], [0.2, 3.1]])
hessians = np.stack([turned(0.95, 0.3, 8), turned(0.9, 0.25, 52), turned(1.0, 0.3, 88)])
valleys = (centres, hessians)
alpha = 1.0


def meta_loss(w, steps):
    return meta.meta_loss(loss, w, (valleys, valleys), steps=steps, lr=alpha)


# %%
# Training on all tasks at once finds the point that is best *before* a step. MAML differentiates through the step and
# finds the point that is best *after* it. The only difference is ``steps``.


def descend(steps):
    w = mg.asarray([0.0, 0.0])
    for _ in range(500):
        w = w - 0.5 * mg.grad(meta_loss)(w, steps)
    return w


starts = {"trained on all tasks": descend(steps=0), "MAML": descend(steps=1)}
for name, w in starts.items():
    before, after = float(meta_loss(w, 0)), float(meta_loss(w, 1))
    print(f"{name:21} start ({w[0]:+.4f}, {w[1]:+.4f})   loss {before:.4f}, after one step {after:.4f}")

# %%
# After a step, a task's loss is again quadratic, with :math:`(I - \alpha H_i) H_i (I - \alpha H_i)` in the place of
# :math:`H_i`. Directions that a step solves (:math:`\alpha H_i \approx 1`) no longer count; those that it hardly
# moves do. So the best start is a weighted mean of the solutions, and the factor :math:`I - \alpha H` is in the
# weights. It is the subject of these lessons.

factors = np.eye(2) - alpha * hessians
weights = factors @ hessians @ factors
formula = np.linalg.solve(weights.sum(0), np.einsum("tij,tj->i", weights, centres))
print(f"by formula            start ({formula[0]:+.4f}, {formula[1]:+.4f})")


def adapted(w):
    """Where a step leads from w on each task."""
    return np.array([meta.adapt(loss, w, task, steps=1, lr=alpha) for task in zip(centres, hessians, strict=True)])


for name, w in starts.items():
    before, after = (np.linalg.norm(v - centres, axis=-1) for v in (np.asarray(w), adapted(w)))
    print(f"{name:21} from the solutions {before.round(2)}, after one step {after.round(2)}")

# %%
# On the left, tasks. On the right, the plane of parameters, with valleys drawn as ellipses that are long where they are
# flat. A start in the midst of the solutions is nearer to all of them, but lies off in their flat directions, where a
# step hardly moves. MAML's start is far away, where every solution lies straight down the steep direction of its
# valley: one step goes nearly all the way to each.

plt.style.use("metagrad.figures")
figure, (left, right) = plt.subplots(1, 2, figsize=(11.5, 5), width_ratios=(1, 1.15))
x = np.linspace(-5, 5, 200).astype(np.float32)[:, None]
for k, curve in enumerate(tasks(np.broadcast_to(x, (6, 200, 1)))):
    left.plot(
        x,
        curve,
        color="C0" if k == 0 else "0.82",
        lw=2 if k == 0 else 1.2,
        label=["this task", "others"][k] if k < 2 else None,
    )
left.plot(support[0][0], support[1][0], "o", ms=8, color="C0", label="support: learn from these")
left.plot(
    query[0][0], query[1][0], "D", ms=7, mfc="white", mec="C4", mew=1.8, ls="none", label="query: judged by these"
)
left.set(xlabel="input x", ylabel="target y", title="A task, and others of its distribution")
left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)

grid = np.stack(np.meshgrid(np.linspace(-1.2, 4.6, 200), np.linspace(-0.6, 4.2, 200)), axis=-1)
for k, (centre, hessian, colour) in enumerate(zip(centres, hessians, ("C0", "C3", "C2"), strict=True), 1):
    d = grid - centre
    height = 0.5 * np.einsum("...i,ij,...j", d, hessian, d)
    right.contour(grid[..., 0], grid[..., 1], height, [0.03, 0.12], colors=colour, alpha=0.55, linewidths=1.1)
    right.plot(*centre, "*", ms=13, color=colour)
    aside = {1: (46, 14), 2: (36, 28), 3: (0, 32)}[k]
    right.annotate(f"task {k}", centre, aside, textcoords="offset points", color=colour, ha="center")
for (name, w), colour, marker in zip(starts.items(), ("0.55", "black"), "so", strict=True):
    for end in adapted(w):
        look = {"arrowstyle": "-|>", "color": colour, "lw": 1.6, "shrinkA": 0, "shrinkB": 0}
        right.annotate("", end, np.asarray(w), arrowprops=look)
    right.plot(*np.asarray(w), marker, ms=10, color=colour, mec="white", label=name, ls="none", zorder=5)
right.set(
    xlabel="parameter 1", ylabel="parameter 2", aspect="equal", title="Two starts, and one step towards each task"
)
right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
figure.savefig("0_one_step_away.png")
