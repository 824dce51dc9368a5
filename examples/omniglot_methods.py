"""MAML on the paper's nets, and what all methods of `omniglot.py` share: how one is trained, how it answers for a task.

A task is (support, query), each (images, labels). Parameters are {"net": those of the net}, with "statistics" beside
them for `--norm running` and "head" for Siamese networks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import optree

import metagrad as mg
from metagrad import data, meta, nn, optim

if TYPE_CHECKING:
    import argparse

    from metagrad.data import Splits

LAST_STEP = 10
"""As many steps are taken on a task at test."""
EVALUATED_IMAGES = 1500
"""Pictures of test tasks that are held at once: bounds the memory."""
NONE = -1
"""The answer of a net that steps on a task blew up: it is never right."""


def sum_over_shots(logits: Any, labels: Any) -> Any:
    """The paper's loss: the sum of cross-entropies over all N * K examples of a batch, divided by K.

    It is N times the mean. Inner steps of the paper's sizes mean this loss: with a mean, the same alpha would move N
    times less, and 0.4 (5-way) and 0.1 (20-way) would both have to be 2.
    """
    examples, ways = logits.shape
    return mg.sum(nn.softmax_cross_entropy(logits, labels)) * (ways / examples)


def mean_loss(logits: Any, labels: Any) -> Any:
    """The mean cross-entropy: that of learners without inner steps."""
    return mg.mean(nn.softmax_cross_entropy(logits, labels))


def task_sizes(args: argparse.Namespace) -> dict[str, int]:
    """Ways, shots and queries of a task, for `data.Episodes`."""
    return {"ways": args.ways, "shots": args.shots, "queries": args.queries}


class Network:
    """One of the paper's nets with an output for each way, or with another `head`; and its batch norm, used by name.

    Parameters are the same whatever normalises, so that a net may be tested in other ways than it was trained.
    """

    def __init__(self, args: argparse.Namespace, head: tuple[Any, ...] | None = None) -> None:
        self.norm = args.norm
        self._dtype = np.dtype(args.dtype)

        def build(norm: str | None) -> Any:
            if args.net == "conv":
                net = nn.omniglot_conv(args.ways, filters=args.filters, norm=norm, dtype=self._dtype)
            else:
                net = nn.omniglot_mlp(args.ways, norm=norm, dtype=self._dtype)
            return net if head is None else nn.Sequential(*net.layers[:-1], *head)

        self.features = args.filters if args.net == "conv" else 64

        modes: tuple[str | None, ...] = (None,) if self.norm == "none" else ("transductive", "support", "running")
        self._nets = {mode: build(mode) for mode in modes}
        self._plain = self._nets[modes[0]]

    def init(self, key: Any) -> Any:
        params = {"net": self._plain.init(key, (2, 28, 28, 1))}
        if self.norm != "running":
            return params
        images = mg.zeros((2, 28, 28, 1), dtype=self._dtype)
        _, statistics = self._nets["running"].apply(params["net"], images)
        ones = [{name: mg.full_like(x, name == "variance") for name, x in layer.items()} for layer in statistics]
        return {**params, "statistics": tuple(ones)}

    def together(self, params: Any, images: Any) -> Any:
        """What the net says of images that are normalised by their own statistics: (n, outputs)."""
        return self._plain.apply(params["net"], images)

    def alone(self, params: Any, images: Any, support: Any) -> Any:
        """The same with each image's answer its own: by the support set's statistics, or the running ones."""
        if self.norm == "none":
            return self.together(params, images)
        if self.norm == "running":
            net, state = self._nets["running"], params["statistics"]
        else:
            net = self._nets["support"]
            _, state = net.apply(params["net"], support)
        return net.apply(params["net"], images, state=state, train=False)[0]

    def answer(self, params: Any, images: Any, support: Any, mode: str) -> Any:
        """By the mode of a test: "transductive" takes the images together, "inductive" each alone."""
        return self.together(params, images) if mode == "transductive" else self.alone(params, images, support)

    def seen(self, params: Any, images: Any, support: Any) -> Any:
        """What the net says of query images in training."""
        return self.alone(params, images, support) if self.norm == "support" else self.together(params, images)

    def statistics(self, params: Any, images: Any) -> Any:
        """The running statistics after one more batch."""
        return self._nets["running"].apply(params["net"], images, state=params["statistics"], train=True)[1]


class Result(NamedTuple):
    """What a method makes of tasks."""

    predictions: np.ndarray[Any, Any]
    """(tasks, 1 + steps, images): the class that is chosen for each query picture, or NONE."""
    accuracies: np.ndarray[Any, Any]
    """(tasks, 1 + steps): the share of right ones."""


class Method:
    """A way to answer for a task. `logits` are for one task, one row of answers for each number of steps from 0."""

    label: ClassVar[str]
    trained_as: ClassVar[str | None] = None
    """The method whose training this one needs: itself, another's, or none."""
    adapts: ClassVar[bool] = False
    """Whether it takes steps on a task."""
    step_size: float | None = None
    """Of a step on a task."""

    def __init__(self, args: argparse.Namespace, splits: Splits) -> None:
        self.args = args
        modes = {"none": ("inductive",), "transductive": ("transductive", "inductive")}
        self.modes: tuple[str, ...] = modes.get(args.norm, ("inductive", "transductive"))
        """The ways in which it is tested, that of its training first."""

    def cast(self, tasks: Any) -> Any:
        """Images in the dtype of the run."""
        dtype = np.dtype(self.args.dtype)
        return tuple((x if x.dtype == dtype else x.astype(dtype), labels) for x, labels in tasks)

    def choose(self, params: Any, validation: Any) -> None:
        """Settle what is chosen on validation tasks before the test."""

    def logits(self, params: Any, support: Any, images: Any, mode: str, steps: int) -> Any:
        """(1 + steps, images, ways); for methods that do not adapt, whatever the steps, (1, images, ways)."""
        raise NotImplementedError

    def predictions(self, params: Any, tasks: Any, mode: str, steps: int) -> np.ndarray[Any, Any]:
        """The class with the largest logit for each query picture, NONE where a logit is NaN: as in `Result`."""
        (support, labels), (query, _) = mg.to_device(self.cast(tasks), self.args.device)

        def answers(images: Any, labels: Any, query: Any) -> Any:
            return self.logits(params, (images, labels), query, mode, steps)

        each = support.shape[1] + query.shape[1]
        chunk = max(1, EVALUATED_IMAGES // each)
        found = []
        for start in range(0, len(query), chunk):
            part = slice(start, start + chunk)
            logits = np.asarray(mg.vmap(answers)(support[part], labels[part], query[part]))
            found.append(np.where(np.isnan(logits).any(axis=-1), NONE, logits.argmax(axis=-1)))
        return np.concatenate(found)

    def evaluate(self, params: Any, tasks: Any, mode: str, steps: int) -> Result:
        predictions = self.predictions(params, tasks, mode, steps)
        return Result(predictions, (predictions == tasks[1][1][:, None]).mean(axis=-1))


class Trained(Method):
    """A method with a net to train, on episodes of the classes for training."""

    def __init__(self, args: argparse.Namespace, splits: Splits, network: Network, **options: Any) -> None:
        super().__init__(args, splits)
        self.network = network
        device = None if args.device == "cpu" else args.device
        self.training = data.Episodes(splits.train, device=device, **(task_sizes(args) | options))

    def init(self) -> Any:
        """The first parameters."""
        return mg.to_device(self.network.init(mg.random.key(self.args.seed)), self.args.device)

    def learner(self, params: Any) -> meta.Learner:
        """What minimises the training objective, from these first parameters."""
        raise NotImplementedError

    def sample(self, generator: np.random.Generator) -> Any:
        """A training batch."""
        raise NotImplementedError

    def statistics(self, params: Any, batch: Any) -> Any:
        """The running statistics after a training batch."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """What determines the training, beside what all methods share."""
        return {}

    def stepper(self, learner: meta.Learner) -> Any:
        """The learner's step, which also keeps the running statistics, if there are any."""
        if self.args.norm != "running":
            return learner.step

        def step(state: meta.State, batch: Any) -> tuple[meta.State, Any]:
            after, value = learner.step(state, batch)
            statistics = self.statistics(state.params, batch)
            return after._replace(params={**after.params, "statistics": statistics}), value

        return step

    def score(self, params: Any, tasks: Any) -> float:
        """The accuracy on validation tasks, after as many steps as count at test."""
        return float(self.evaluate(params, tasks, self.modes[0], self.args.test_steps).accuracies[:, -1].mean())


def mean_over_tasks(trees: Any) -> Any:
    """The mean of each leaf over its leading axis."""
    return optree.tree_map(lambda x: mg.mean(x, axis=0), trees)


def trajectory(loss: Any, params: Any, support: Any, *, steps: int, lr: float, adapted: Any = None) -> list[Any]:
    """The parameters after 0, 1, 2, ... steps on a task."""
    return [params, *meta.adapt(loss, params, support, steps=steps, lr=lr, adapted=adapted, every_step=True)]


class MAML(Trained):
    """Parameters from which a task is learned in a step or a few (Finn, Abbeel and Levine 2017)."""

    label = "MAML"
    trained_as = "maml"
    adapts = True
    first_order = False

    def __init__(self, args: argparse.Namespace, splits: Splits) -> None:
        super().__init__(args, splits, Network(args))
        self.step_size = args.alpha

    def loss(self, params: Any, batch: Any) -> Any:
        """Of (images, labels), or of (images, labels, support images), which then say how to normalise."""
        images, labels, *support = batch
        logits = self.network.alone(params, images, *support) if support else self.network.together(params, images)
        return sum_over_shots(logits, labels)

    def adapted(self, params: Any) -> Any:
        """Batch norm's offset is meta-learned, and the same for all tasks, as in the authors' code."""
        fixed = {"none": (), "running": ("offset", "mean", "variance")}.get(self.args.norm, ("offset",))
        return meta.all_but(params, *fixed)

    def learner(self, params: Any) -> meta.Learner:
        args = self.args
        return meta.MAML(
            self.loss,
            optim.Adam(args.beta),
            steps=args.inner_steps,
            lr=args.alpha,
            first_order=self.first_order,
            adapted=self.adapted(params),
        )

    def sample(self, generator: np.random.Generator) -> Any:
        support, query = self.cast(self.training(generator, self.args.meta_batch))
        return support, ((*query, support[0]) if self.args.norm == "support" else query)

    def statistics(self, params: Any, batch: Any) -> Any:
        def one(support: Any, query: Any) -> Any:
            theta = self.trajectory(params, support, self.args.inner_steps)[-1]
            return self.network.statistics(theta, query[0])

        return mean_over_tasks(mg.vmap(one)(*batch))

    def settings(self) -> dict[str, Any]:
        args = self.args
        return {"alpha": args.alpha, "inner-steps": args.inner_steps, "meta-batch": args.meta_batch}

    def trajectory(self, params: Any, support: Any, steps: int) -> list[Any]:
        return trajectory(self.loss, params, support, steps=steps, lr=self.args.alpha, adapted=self.adapted(params))

    def logits(self, params: Any, support: Any, images: Any, mode: str, steps: int) -> Any:
        return mg.stack(
            [self.network.answer(p, images, support[0], mode) for p in self.trajectory(params, support, steps)]
        )


class FirstOrderMAML(MAML):
    """The same with each inner gradient taken as a constant."""

    label = "first-order MAML"
    trained_as = "fomaml"
    first_order = True
