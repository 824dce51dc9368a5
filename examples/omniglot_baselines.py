"""The methods that MAML is compared with: nearest neighbours, fine-tuning, and learning to compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from omniglot_methods import (
    LAST_STEP,
    Method,
    Network,
    Trained,
    mean_loss,
    mean_over_tasks,
    sum_over_shots,
    trajectory,
)

import metagrad as mg
from metagrad import meta, nn, optim
from metagrad.meta import metric

if TYPE_CHECKING:
    import argparse

    from metagrad.data import Splits

PRETRAINING_CLASSES = 64
"""Classes in a batch of pretraining, two pictures of each."""
STEP_SIZES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Of which validation tasks choose that of fine-tuning."""
SHARPNESS = 10.0
"""What matching networks multiply cosines by: with 1, as published, the attention over 20 ways is nearly even."""


class NearestPixels(Method):
    """The class of the support picture that is nearest, by the squared differences of pixels."""

    label = "nearest neighbour, pixels"

    def __init__(self, args: argparse.Namespace, splits: Splits) -> None:
        super().__init__(args, splits)
        self.modes = ("inductive",)

    def logits(self, params: Any, support: Any, images: Any, mode: str, steps: int) -> Any:
        flat = [mg.reshape(x, (x.shape[0], -1)) for x in (images, support[0])]
        return metric.best_match(-metric.squared_distance(*flat), support[1], ways=self.args.ways)[None]


class NearestFeatures(Trained):
    """The class of the support picture that is nearest by the cosine of features of a pretrained net.

    The net is a plain classifier of all training classes, each turned by a multiple of 90 degrees being another class;
    its features are what its last layer sees.
    """

    label = "nearest neighbour, features"
    trained_as = "nearest_neighbour_features"

    def __init__(self, args: argparse.Namespace, splits: Splits) -> None:
        turned = splits.train.with_rotations()
        network = Network(args, (nn.Dense(len(turned), dtype=args.dtype),))
        ways = min(PRETRAINING_CLASSES, len(turned))
        sizes = {"ways": ways, "shots": 1, "queries": 1}
        super().__init__(args, splits._replace(train=turned), network, rotate=False, **sizes)
        self.body = Network(args, ())

    def learner(self, params: Any) -> meta.Learner:
        def objective(params: Any, batch: Any) -> Any:
            images, labels = batch
            return mean_loss(self.network.together(params, images), labels)

        return meta.Learner(objective, optim.Adam(self.args.beta))

    def sample(self, generator: np.random.Generator) -> Any:
        draw = self.training.draw(generator, 1)
        support, query = self.cast(self.training.take(draw))
        images, labels = mg.concat([support[0][0], query[0][0]]), np.tile(draw.classes[0], 2)
        return images, mg.to_device(labels, self.args.device)

    def statistics(self, params: Any, batch: Any) -> Any:
        return self.network.statistics(params, batch[0])

    def headless(self, params: Any) -> Any:
        """The parameters of the net without its last layer."""
        return {name: layers[:-1] for name, layers in params.items()}

    def logits(self, params: Any, support: Any, images: Any, mode: str, steps: int) -> Any:
        params = self.headless(params)
        query = self.body.answer(params, images, support[0], mode)
        similarity = metric.cosine(query, self.body.together(params, support[0]))
        return metric.best_match(similarity, support[1], ways=self.args.ways)[None]


class Finetune(NearestFeatures):
    """The pretrained net with a new last layer of zeros, all of it moved by gradient steps on the support set.

    The step size is the one of STEP_SIZES that answers best on validation tasks after the last step.
    """

    label = "fine-tuning"
    adapts = True

    def __init__(self, args: argparse.Namespace, splits: Splits) -> None:
        super().__init__(args, splits)
        self.tuned = Network(args)

    def choose(self, params: Any, validation: Any) -> None:
        def score(step_size: float) -> float:
            self.step_size = step_size
            return float(self.evaluate(params, validation, self.modes[0], LAST_STEP).accuracies[:, -1].mean())

        self.step_size = max(STEP_SIZES, key=score)

    def logits(self, params: Any, support: Any, images: Any, mode: str, steps: int) -> Any:
        *body, head = params["net"]
        size, dtype = (head["kernel"].shape[0], self.args.ways), head["kernel"].dtype
        kernel = mg.zeros(size, dtype=dtype, device=self.args.device)
        start = {**params, "net": (*body, {"kernel": kernel, "bias": kernel[0]})}

        def loss(params: Any, batch: Any) -> Any:
            images, labels = batch
            return sum_over_shots(self.tuned.together(params, images), labels)

        path = trajectory(loss, start, support, steps=steps, lr=self.step_size)
        return mg.stack([self.tuned.answer(p, images, support[0], mode) for p in path])


class Comparison(Trained):
    """A net without its last layer, trained on episodes to make pictures of one class alike."""

    ways: ClassVar[int]
    """Of a training episode, as far as there are classes."""
    queries: ClassVar[int] = 5

    def __init__(self, args: argparse.Namespace, splits: Splits) -> None:
        self.train_ways = args.train_ways or min(self.ways, len(splits.train))
        super().__init__(args, splits, Network(args, ()), ways=self.train_ways, queries=self.queries)

    def compare(self, params: Any, support: Any, labels: Any, query: Any, ways: int) -> Any:
        """Logits (m, ways) from embeddings."""
        raise NotImplementedError

    def loss(self, params: Any, support: Any, query: Any) -> Any:
        embedded = self.network.together(params, support[0])
        answers = self.network.seen(params, query[0], support[0])
        return mean_loss(self.compare(params, embedded, support[1], answers, self.train_ways), query[1])

    def learner(self, params: Any) -> meta.Learner:
        return meta.Learner(meta.over_tasks(self.loss), optim.Adam(self.args.beta))

    def sample(self, generator: np.random.Generator) -> Any:
        return self.cast(self.training(generator, 1))

    def statistics(self, params: Any, batch: Any) -> Any:
        return mean_over_tasks(mg.vmap(lambda images: self.network.statistics(params, images))(batch[1][0]))

    def settings(self) -> dict[str, Any]:
        return {"train-ways": self.train_ways}

    def logits(self, params: Any, support: Any, images: Any, mode: str, steps: int) -> Any:
        query = self.network.answer(params, images, support[0], mode)
        embedded = self.network.together(params, support[0])
        return self.compare(params, embedded, support[1], query, self.args.ways)[None]


class Prototypical(Comparison):
    """Prototypical networks (Snell, Swersky and Zemel 2017), trained on episodes of 60 ways."""

    label = "prototypical networks"
    trained_as = "prototypical"
    ways = 60

    def compare(self, params: Any, support: Any, labels: Any, query: Any, ways: int) -> Any:
        return metric.prototypical(support, labels, query, ways=ways)


class Matching(Comparison):
    """Matching networks (Vinyals et al. 2016) without full context embeddings, trained on episodes of 20 ways."""

    label = "matching networks"
    trained_as = "matching"
    ways = 20

    def compare(self, params: Any, support: Any, labels: Any, query: Any, ways: int) -> Any:
        return metric.matching(support, labels, query, ways=ways, scale=SHARPNESS)


class Siamese(Comparison):
    """Siamese networks (Koch, Zemel and Salakhutdinov 2015), trained on the pairs of episodes of 20 ways.

    A pair is a query and a support picture. The answer is the class of the best match.
    """

    label = "Siamese networks"
    trained_as = "siamese"
    ways = 20

    def init(self) -> Any:
        features = self.network.features
        head = nn.Dense(1, dtype=self.args.dtype).init(mg.random.fold_in(mg.random.key(self.args.seed), 1), (features,))
        return {**super().init(), "head": mg.to_device(head, self.args.device)}

    def loss(self, params: Any, support: Any, query: Any) -> Any:
        embedded = self.network.together(params, support[0])
        answers = self.network.seen(params, query[0], support[0])
        same = mg.equal(query[1][:, None], support[1][None, :])
        return meta.verification_loss(meta.siamese(params["head"], answers, embedded), same)

    def compare(self, params: Any, support: Any, labels: Any, query: Any, ways: int) -> Any:
        return meta.best_match(meta.siamese(params["head"], query, support), labels, ways=ways)
