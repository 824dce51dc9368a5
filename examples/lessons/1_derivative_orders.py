"""
1. What a backward pass makes
=============================

A gradient is a computation like the one that it differentiates: a handful of multiplications, additions and elementary
functions. So it can be written down, drawn, and differentiated again. Nothing else is needed for a gradient of a
gradient, and this lesson watches it happen, equation by equation.
"""

import math

import matplotlib.pyplot as plt

import metagrad as mg

# %%
# A function of one number, so that everything can be read.


def f(w):
    return mg.sin(w) * mg.exp(w)


gradient = mg.grad(f)
second = mg.grad(gradient)

# %%
# ``mg.make_graph`` runs a function on symbols and writes its equations down. Those of *order* 0 are what the function
# computes, those of order 1 what a backward pass made of them. The note at the right, ``∂b``, says of what equation
# one is the derivative.

first_graph = mg.make_graph(gradient)(0.5)
print(mg.inspect.text(first_graph))

# %%
# The gradient of the gradient is made the same way. Its backward pass walks over *all* equations of the first graph,
# those of order 0 and those of order 1; what it makes of the latter has order 2.

second_graph = mg.make_graph(second)(0.5)
for name, function in (("f", f), ("gradient", gradient), ("second", second)):
    found = mg.inspect.order_report(function, 0.5).orders  # of what the result depends on
    counts = [found.get(order, 0) for order in range(3)]
    print(f"{name:9} depends on {sum(counts):2} equations, of orders 0, 1, 2: {counts}")

# %%
# Both are right: :math:`f' = e^w (\sin w + \cos w)` and :math:`f'' = 2 e^w \cos w`.

w = 0.5
print(f"f'  = {float(gradient(w)):.15f}   by formula {math.exp(w) * (math.sin(w) + math.cos(w)):.15f}")
print(f"f'' = {float(second(w)):.15f}   by formula {2 * math.exp(w) * math.cos(w):.15f}")

# %%
# And, where there is no formula, checked: ``mg.testing`` compares each order with a numeric derivative that says
# how many of its own digits are good, in reverse and forward mode and all their combinations.

print(mg.testing.check_gradients(f, [mg.asarray(w)], order=3))

# %%
# The pictures show the equations that each result depends on; ``a`` is w. Where the function forks (sine and
# exponential both read ``a``) the gradient joins: the cotangents of the two ways are added, in ``k``.

plt.style.use("metagrad.figures")
figure, axes = plt.subplots(1, 2, figsize=(11.5, 4.7), width_ratios=(1, 1.9))
for ax, graph, title in zip(
    axes, (first_graph, second_graph), ("The gradient", "The gradient of the gradient"), strict=True
):
    mg.inspect.plot(graph, ax)
    ax.set_title(title)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.01))
figure.savefig("1_derivative_orders.png")
