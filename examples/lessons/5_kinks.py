"""
5. Second derivatives through ReLU, max-pool and softmax
========================================================

Networks are full of operations that are linear in pieces. Their second derivative is zero wherever it exists, yet the
Hessian of the network's loss is not zero. This lesson shows where the curvature that MAML needs comes from, and what
happens on the edges between the pieces.
"""

import matplotlib.pyplot as plt
import numpy as np

import metagrad as mg
from metagrad import nn

# %%
# ReLU first. Its derivative is a mask, 0 or 1, that is constant on either side, so the second derivative is 0 there. At
# the kink there is none; the library says 0 for the first, which lies between the slopes, and 0 for the second.

points = (-1.0, 0.0, 1.0)
print("relu    at -1, 0, 1: first", [float(mg.grad(nn.relu)(x)) for x in points], end="  ")
print("second", [float(mg.grad(mg.grad(nn.relu))(x)) for x in points])
left, right = mg.testing.one_sided_slopes(lambda t: float(nn.relu(t)))
print(f"relu    at 0: slopes {left.value:.6f} on the left, {right.value:.6f} on the right")

# %%
# Max-pooling picks one entry of each window. Its gradient goes to that entry, and the pick is a constant of the second
# derivative. So in :math:`\sum \max(x)^3` only the picked entries have curvature, :math:`6 x`, each with itself alone.

image = np.random.default_rng(0).permutation(16).reshape(1, 4, 4, 1) / 4.0


def pooled(x):
    return mg.sum(nn.max_pool2d(x, 2) ** 3)


curvature = np.asarray(mg.hessian(pooled)(image)).reshape(16, 16)
picked = np.flatnonzero(np.asarray(mg.grad(pooled)(image)))
print(
    f"max-pool: {len(picked)} of 16 entries are picked; entries of H that are not zero: {np.count_nonzero(curvature)}"
)
print("max-pool: diagonal", np.diag(curvature)[picked], "which is 6 x for x =", image.reshape(-1)[picked])

# %%
# Softmax cross-entropy is smooth, and the curvature of a ReLU classifier begins here: for logits z and p = softmax(z),
#
# .. math:: \nabla^2 \ell = \operatorname{diag}(p) - p p^T,
#
# whatever the label. It vanishes as the net grows sure of itself, right or wrong.

logits = mg.asarray([2.0, 0.5, -1.0])
H = np.asarray(mg.hessian(lambda z: nn.softmax_cross_entropy(z, 0))(logits))
p = np.asarray(nn.softmax(logits))
print(f"softmax cross-entropy: H and diag(p) - p p' differ by {abs(H - np.diag(p) + np.outer(p, p)).max():.0e}")
for scale in (1, 10, 100):
    H = np.asarray(mg.hessian(lambda z: nn.softmax_cross_entropy(z, 1))(scale * logits))
    print(f"softmax cross-entropy: logits times {scale:3}, largest entry of H {abs(H).max():.1e}")

# %%
# A whole net of all three on six pictures. By the chain rule its Hessian is :math:`J^T \nabla^2\ell J` (the
# *Gauss-Newton* part, with J the Jacobian of the logits) and a sum of the logits' own Hessians. A single layer's
# block of the latter is zero, because logits are linear in pieces in each layer's weights; between layers it is
# not: there weights meet in products.

CONV, POOL = nn.Conv2D(2, 3, dtype=np.float64), nn.MaxPool2D(2)
NET = nn.Sequential(CONV, nn.relu, POOL, nn.Flatten(), nn.Dense(3, dtype=np.float64))
generator = np.random.default_rng(1)
images, labels = generator.normal(size=(6, 4, 4, 1)), np.array([0, 1, 2, 0, 1, 2])
params = NET.init(mg.random.key(0), (4, 4, 1))
kernels = (params[0]["kernel"], params[4]["kernel"])  # 18 numbers of the convolution, 24 of the dense layer


def logits_of(theta):
    conv, dense = mg.reshape(theta[:18], kernels[0].shape), mg.reshape(theta[18:], kernels[1].shape)
    return NET.apply(({**params[0], "kernel": conv}, *params[1:4], {**params[4], "kernel": dense}), images)


def loss(theta):
    return mg.mean(nn.softmax_cross_entropy(logits_of(theta), labels))


theta = mg.concat([mg.reshape(k, (-1,)) for k in kernels])
H = np.asarray(mg.hessian(loss)(theta))
J = np.asarray(mg.jacrev(logits_of)(theta))
p = np.asarray(nn.softmax(logits_of(theta)))
outputs = p[:, :, None] * (np.eye(3) - p[:, None, :]) / len(p)
rest = H - np.einsum("nai,nab,nbj->ij", J, outputs, J)
inside = max(abs(rest[:18, :18]).max(), abs(rest[18:, 18:]).max())
print(f"net: beyond Gauss-Newton, within a layer {inside:.0e}, between layers {abs(rest[:18, 18:]).max():.3f}")
print(mg.testing.check_gradients(loss, [theta], order=2))

# %%
# Along a line through parameter space that net's loss has kinks: where a ReLU opens or a pooling window changes its
# mind, the gradient bends or jumps, and the second derivative jumps. Between kinks all is smooth, and a
# Hessian-vector product is exact there. What it cannot see is the next kink: MAML's factor :math:`I - \alpha H`
# describes this piece only.
#
# A piece is a set of entries of the convolution's result that reach the dense layer: those that a window picks and
# ReLU lets through. It is read off as the places where the gradient of what comes through is not zero.

direction = generator.normal(size=42)
line = np.linspace(-1.5, 1.5, 2001)


def along(t):
    return loss(theta + t * direction)


def reaches(t):
    kernel = mg.reshape((theta + t * direction)[:18], kernels[0].shape)
    result = CONV.apply({**params[0], "kernel": kernel}, images)
    return mg.grad(lambda z: mg.sum(POOL.apply((), nn.relu(z))))(result)


values, slopes, curvatures = (np.asarray(mg.vmap(g)(line)) for g in (along, mg.grad(along), mg.grad(mg.grad(along))))
pieces = np.asarray(mg.vmap(reaches)(line)).reshape(len(line), -1)
kinks = (pieces[1:] != pieces[:-1]).any(axis=1)
jumps = abs(np.diff(curvatures))
print(f"line: the piece changes in {kinks.sum()} of {len(kinks)} intervals")
print(f"line: second derivative between {curvatures.min():.2f} and {curvatures.max():.2f};", end=" ")
print(f"from point to point it changes by up to {jumps[kinks].max():.2f} there, {jumps[~kinks].max():.3f} elsewhere")

plt.style.use("metagrad.figures")
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4.3), width_ratios=(1, 1, 1.15))
limit = abs(H).max() / 2
for ax, matrix, title in ((left, H, "Hessian of the net's loss"), (middle, rest, "... without its Gauss-Newton part")):
    shown = ax.imshow(matrix, cmap="RdBu_r", vmin=-limit, vmax=limit)
    ax.axhline(17.5, color="0.5", lw=0.8)
    ax.axvline(17.5, color="0.5", lw=0.8)
    ax.set(xticks=[8.5, 29.5], yticks=[8.5, 29.5], title=title)
    ax.set_xticklabels(["convolution", "dense"])
    ax.set_yticklabels(["convolution", "dense"], rotation=90, va="center")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
figure.colorbar(shown, ax=[left, middle], shrink=0.8, label="second derivative", extend="both")
for values_, colour, style, label in (
    (values, "C0", "-", "loss"),
    (slopes, "C1", "--", "first derivative"),
    (curvatures, "C2", "-", "second derivative"),
):
    right.plot(line, values_, style, color=colour, label=label, lw=1.6)
right.vlines(line[1:][kinks], 0, 0.04, transform=right.get_xaxis_transform(), color="0.3", lw=0.8, label="a kink")
right.set(xlabel="distance along a line through the parameters", title="Pieces, and the kinks between them")
right.legend()
figure.savefig("5_kinks.png")
