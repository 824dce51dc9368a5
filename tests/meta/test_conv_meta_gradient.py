"""The meta-gradient of the paper's nets, with batch norm, against numeric differentiation in float64."""

import numpy as np
import optree
import pytest
from tolerances import LOOSEST, NUMERIC, close

import metagrad as mg
from metagrad import meta, nn
from metagrad.testing import KinkError, central_difference, random_direction

WAYS, TASKS, SIZE, LR = 3, 2, 12, 0.1
DIRECTIONS, REDRAWS = 3, 20


class Problem:
    """A net with two filters, or one without convolution, and two tasks of three small pictures and as many queries.

    With `support`, queries are normalised by the statistics of the support set, which are differentiated, too.
    """

    def __init__(self, kind, seed, support=False):
        rng = np.random.default_rng(seed)
        norm = "support" if support else "transductive"
        if kind == "conv":
            self.net = nn.omniglot_conv(WAYS, filters=2, norm=norm, dtype=np.float64)
        else:
            layers = nn.Dense(4, dtype=np.float64), nn.BatchNorm(norm, scale=False, dtype=np.float64), nn.relu
            self.net = nn.Sequential(nn.Flatten(), *layers, nn.Dense(WAYS, dtype=np.float64))
        first = self.net.init(mg.random.key(seed), (WAYS, SIZE, SIZE, 1))
        self.params = optree.tree_map(lambda x: np.asarray(x) + 0.1 * rng.standard_normal(x.shape), first)
        self.adapted = meta.all_but(self.params, "offset")
        labels = np.tile(np.arange(WAYS), (TASKS, 1))
        images, queries = rng.uniform(size=(2, TASKS, WAYS, SIZE, SIZE, 1))
        self.support = support
        self.tasks = (images, labels), ((queries, labels, images) if support else (queries, labels))

    def loss(self, params, batch):
        images, labels, *support = batch
        if not self.support:
            logits = self.net.apply(params, images)
        elif support:
            _, state = self.net.apply(params, support[0])
            logits, _ = self.net.apply(params, images, state=state, train=False)
        else:
            logits, _ = self.net.apply(params, images)
        return mg.sum(nn.softmax_cross_entropy(logits, labels))

    def meta_loss(self, params, steps, **options):
        options = {"lr": LR, "adapted": self.adapted, **options}
        return meta.meta_loss(self.loss, params, self.tasks, steps=steps, **options)

    def direction(self, rng):
        return optree.tree_map(lambda x: random_direction(rng, x.shape), self.params)

    def slope(self, steps, direction):
        """The numeric derivative along a direction; KinkError where ReLU has a kink within a step."""

        def along(t):
            moved = optree.tree_map(lambda x, v: x + t * v, self.params, direction)
            return float(self.meta_loss(moved, steps))

        return central_difference(along, step=1e-5, rows=3)


def inner_product(a, b):
    return sum(
        float(np.sum(np.asarray(x) * np.asarray(y))) for x, y in zip(*map(optree.tree_leaves, (a, b)), strict=True)
    )


def away_from_kinks(kind, steps, support):
    """A problem with DIRECTIONS and the numeric slopes along them, drawn anew where a kink is too near to measure."""
    for seed in range(REDRAWS):
        problem, rng = Problem(kind, seed, support), np.random.default_rng(seed)
        directions = [problem.direction(rng) for _ in range(DIRECTIONS)]
        try:
            slopes = [problem.slope(steps, v) for v in directions]
        except KinkError:
            continue
        if all(allowed(slope) < LOOSEST * scale(slope) for slope in slopes):
            return problem, directions, slopes
    raise KinkError(f"{REDRAWS} problems, each with a kink")


def scale(slope):
    return max(1.0, abs(slope.value))


def allowed(slope):
    return NUMERIC * scale(slope) + 10 * slope.error


@pytest.mark.parametrize("support", [False, True])
@pytest.mark.parametrize("kind", ["conv", "mlp"])
@pytest.mark.parametrize("steps", [1, 3])
def test_the_meta_gradient_is_the_numeric_derivative_of_the_meta_loss(kind, steps, support):
    problem, directions, slopes = away_from_kinks(kind, steps, support)
    gradient = mg.grad(lambda p: problem.meta_loss(p, steps))(problem.params)
    first_order = mg.grad(lambda p: problem.meta_loss(p, steps, first_order=True))(problem.params)
    for direction, slope in zip(directions, slopes, strict=True):
        assert abs(inner_product(gradient, direction) - slope.value) < allowed(slope)
    missed = [abs(inner_product(first_order, v) - slope.value) for v, slope in zip(directions, slopes, strict=True)]
    assert max(missed) > 1e-2  # the second-order term is there to be missed


@pytest.mark.parametrize("support", [False, True])
@pytest.mark.parametrize("kind", ["conv", "mlp"])
@pytest.mark.parametrize("steps", [1, 3])
def test_tasks_batched_are_tasks_one_by_one(kind, steps, support):
    problem = Problem(kind, 0, support)
    together, alone = (
        mg.value_and_grad(lambda p, b=b: problem.meta_loss(p, steps, batched=b))(problem.params) for b in (True, False)
    )
    close(together[0], alone[0])
    close(*[np.concatenate([np.ravel(x) for x in optree.tree_leaves(g)]) for g in (together[1], alone[1])], order=2)


def test_the_offset_of_batch_norm_is_meta_learned_but_not_adapted():
    problem = Problem("conv", 0)
    support = tuple(x[0] for x in problem.tasks[0])
    learned = meta.adapt(problem.loss, problem.params, support, steps=2, lr=LR, adapted=problem.adapted)
    gradient = mg.grad(lambda p: problem.meta_loss(p, 2))(problem.params)
    moved = [not np.array_equal(learned[k]["offset"], problem.params[k]["offset"]) for k in (1, 4, 7, 10)]
    assert not any(moved)
    assert all(np.any(np.asarray(gradient[k]["offset"])) for k in (1, 4, 7))
    assert not np.array_equal(learned[0]["kernel"], problem.params[0]["kernel"])
