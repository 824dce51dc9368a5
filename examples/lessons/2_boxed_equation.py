r"""
2. The boxed equation
=====================

MAML's gradient goes *through* a gradient step. For one step :math:`\theta' = \theta - \alpha \nabla L(\theta)`, the
chain rule says

.. math:: \boxed{\;\nabla_\theta L(\theta') = (I - \alpha H)\, \nabla_{\theta'} L(\theta')\;}

where :math:`H` is the Hessian of the support loss at :math:`\theta`; it is symmetric, so no transpose is seen. Here
it is built, multiplied, and held against what reverse mode gives for the unrolled step.
"""

import matplotlib.pyplot as plt
import numpy as np

import metagrad as mg
from metagrad import meta

# %%
# A net of 13 parameters, in one vector, so that its Hessian is one matrix: four hidden units and an output.


def net(theta, x):
    w1, b1, w2, b2 = theta[:4], theta[4:8], theta[8:12], theta[12]
    return mg.tanh(x[:, None] * w1 + b1) @ w2 + b2


def loss(theta, batch):
    x, y = batch
    return mg.mean((net(theta, x) - y) ** 2)


rng = np.random.default_rng(0)
theta = mg.asarray(rng.normal(size=13))
x = rng.uniform(-3, 3, 20)
y = 1.5 * np.sin(x + 0.5)
support, query = (x[:10], y[:10]), (x[10:], y[10:])
alpha = 0.1


def meta_loss(theta, steps, first_order=False):
    return loss(meta.adapt(loss, theta, support, steps=steps, lr=alpha, first_order=first_order), query)


# %%
# The left side of the equation, by reverse mode through the step; the right side, factor by factor.

unrolled = mg.grad(meta_loss)(theta, steps=1)

H = mg.hessian(loss)(theta, support)
adapted = meta.adapt(loss, theta, support, steps=1, lr=alpha)
factor = mg.eye(13) - alpha * H
product = factor @ mg.grad(loss)(adapted, query)

print("parameter   through the step      (I - alpha H) gradient")
for k in range(13):
    print(f"{k:9}   {unrolled[k]:+.15f}   {product[k]:+.15f}")


def digits(a, b):
    """How many decimal digits of the largest entry agree."""
    a, b = np.asarray(a), np.asarray(b)
    return min(-np.log10(max(abs(a - b).max(), 1e-300) / abs(b).max()), 15.7)


print(f"one step: agree to {digits(unrolled, product):.1f} digits")

# %%
# That says that two derivatives of the library agree. That they are right, a numeric derivative says, taken of the
# meta-loss as a whole, to second order.

print(mg.testing.check_gradients(lambda theta: meta_loss(theta, 1), [theta], order=2, modes=["reverse"]))

# %%
# Five steps are five factors, one for each point on the way, and the Hessian of each is its own:
#
# .. math:: \nabla_\theta L(\theta_5) = (I - \alpha H_0)(I - \alpha H_1) \cdots (I - \alpha H_4)\, \nabla L(\theta_5).
#
# Reverse mode never builds one of them: it multiplies from the right, vector by vector.

path = [theta, *meta.adapt(loss, theta, support, steps=5, lr=alpha, every_step=True)]
factors = [mg.eye(13) - alpha * mg.hessian(loss)(point, support) for point in path[:-1]]
found = mg.grad(loss)(path[-1], query)
for each in reversed(factors):
    found = each @ found
five = mg.grad(meta_loss)(theta, steps=5)
print(f"five steps: agree to {digits(five, found):.1f} digits")

# %%
# First-order MAML puts I for every factor. What it leaves out is not small here.

for steps in (1, 5):
    exact, first = (np.asarray(mg.grad(meta_loss)(theta, steps, first_order=f)) for f in (False, True))
    error = np.linalg.norm(exact - first) / np.linalg.norm(exact)
    print(f"first-order MAML, steps {steps}: differs by {100 * error:.1f}%")

# %%
# The factor is the identity with something taken off: blocks of parameters of one layer show. An eigenvalue of 1 is
# a direction that the step leaves alone, one near 0 a direction that it solves, a negative one a direction in which
# it overshoots; above 1, curvature is negative and the step runs away. The product of five takes most directions
# further down.

all_five = np.linalg.multi_dot([np.asarray(f) for f in factors])
plt.style.use("metagrad.figures")
figure, axes = plt.subplots(1, 3, layout="compressed", figsize=(13, 4.2), width_ratios=(1, 1, 1.05))
groups = [("$w_1$", 0, 4), ("$b_1$", 4, 8), ("$w_2$", 8, 12), ("$b_2$", 12, 13)]
for ax, matrix, title in zip(
    axes, (factor, all_five), (r"$I - \alpha H_0$", r"$(I - \alpha H_0) \cdots (I - \alpha H_4)$"), strict=False
):
    image = ax.imshow(np.asarray(matrix), cmap="RdBu_r", vmin=-1.5, vmax=1.5)
    ax.set(xticks=[(a + b - 1) / 2 for _, a, b in groups], yticks=[(a + b - 1) / 2 for _, a, b in groups], title=title)
    ax.set_xticklabels([name for name, _, _ in groups])
    ax.set_yticklabels([name for name, _, _ in groups])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    for _, _, end in groups[:-1]:
        ax.axhline(end - 0.5, color="0.6", lw=0.6)
        ax.axvline(end - 0.5, color="0.6", lw=0.6)
figure.colorbar(image, ax=axes[:2], shrink=0.8, label="entry")
one = np.linalg.eigvalsh(np.asarray(factor))[::-1]
axes[2].axhline(1, color="0.75", lw=1)
axes[2].axhline(0, color="0.75", lw=1)
axes[2].plot(range(1, 14), one, "o-", color="C0", label="one step: eigenvalues")
axes[2].plot(range(1, 14), np.linalg.svd(all_five)[1], "s-", color="C1", label="five steps: singular values")
axes[2].set(xlabel="direction, sorted", ylabel="factor", title="By how much each direction counts")
axes[2].legend(loc="lower left")
print(f"eigenvalues of I - alpha H between {one.min():.4f} and {one.max():.4f}")
figure.savefig("2_boxed_equation.png")
