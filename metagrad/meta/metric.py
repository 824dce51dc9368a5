"""Few-shot classification by comparison: no step is taken on a task, a query is compared with the support set.

Each function answers for one task, from embeddings: those of the support set (n, features) with labels, integers (n,)
from 0 to ways - 1 of which each occurs, and those of the query set (m, features). The answer is (m, ways), logits for
`nn.softmax_cross_entropy`. What is learned is the net that embeds; `vmap` takes many tasks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.devices import namespace
from ..errors import ShapeError, requires
from ..linalg import vector_norm
from ..nn import log_softmax, softplus
from ..operations import abs as abs_
from ..operations import (
    astype,
    equal,
    expand_dims,
    logical_not,
    logsumexp,
    matmul,
    matrix_transpose,
    max,
    square,
    sum,
    where,
)
from ..ops.dtypes import weak


def squared_distance(a: Any, b: Any) -> Any:
    """|a_i - b_j|^2 of all rows of (n, features) and (m, features), as |a|^2 - 2 a.b + |b|^2: (n, m).

    >>> import metagrad as mg
    >>> from metagrad.meta import metric
    >>> metric.squared_distance(mg.asarray([[0.0, 0.0]]), mg.asarray([[3.0, 4.0], [1.0, 0.0]]))
    Tensor([[25.,  1.]], dtype=float64)
    """
    _comparable("squared_distance", a, b)
    lengths = expand_dims(sum(square(a), axis=-1), -1) + expand_dims(sum(square(b), axis=-1), -2)
    return lengths - 2 * matmul(a, matrix_transpose(b))


def cosine(a: Any, b: Any) -> Any:
    """The cosine of the angle between all rows of (n, features) and (m, features): (n, m), and 0 for rows of zeros.

    >>> import metagrad as mg
    >>> from metagrad.meta import metric
    >>> metric.cosine(mg.asarray([[2.0, 0.0]]), mg.asarray([[5.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
    Tensor([[ 1.,  0., -1.]], dtype=float64)
    """
    _comparable("cosine", a, b)
    return matmul(_unit(a), matrix_transpose(_unit(b)))


def prototypical(support: Any, labels: Any, query: Any, *, ways: int) -> Any:
    """Prototypical networks: -|q - c_k|^2, where the prototype c_k is the mean of class k's support embeddings.

    Snell, Swersky and Zemel 2017, "Prototypical networks for few-shot learning", equations 1 and 2.

    `support` (n, features) with labels (n,) from 0 to ways - 1, `query` (m, features): logits (m, ways). Raises
    ShapeError for labels of another shape and for other numbers of features.

    >>> import metagrad as mg
    >>> from metagrad import meta
    >>> support = mg.asarray([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0]])
    >>> meta.prototypical(support, mg.asarray([0, 0, 1]), mg.asarray([[1.0, 1.0]]), ways=2)
    Tensor([[ -1., -10.]], dtype=float64)
    """
    members = matrix_transpose(astype(_members(support, labels, ways), support.dtype))
    prototypes = matmul(members, support) / sum(members, axis=-1, keepdims=True)
    return -squared_distance(query, prototypes)


def matching(support: Any, labels: Any, query: Any, *, ways: int, scale: float = 1.0) -> Any:
    """Matching networks, without full context embeddings: the logarithm of the attention that each class receives.

    P(k | q) is the sum of a_i over the support examples i of class k, where a is the softmax over the support set of
    `scale` times the cosines of q with each. Vinyals et al. 2016, "Matching networks for one shot learning", equation
    1 and section 2.1.1, have scale 1, with which no example of n can have more than e^2 / (e^2 + n - 1), 0.28 of 20. A
    larger scale lets the net be sure of its answer.

    `support` (n, features) with labels (n,) from 0 to ways - 1, `query` (m, features): logits (m, ways). Raises
    ShapeError for labels of another shape and for other numbers of features.

    >>> import metagrad as mg
    >>> from metagrad import meta
    >>> support = mg.asarray([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
    >>> mg.exp(meta.matching(support, mg.asarray([0, 1, 1]), mg.asarray([[1.0, 1.0]]), ways=2))
    Tensor([[0.333333, 0.666667]], dtype=float64)
    """
    members = _members(support, labels, ways)
    attention = log_softmax(weak(scale) * cosine(query, support))
    return logsumexp(where(members, expand_dims(attention, -1), -np.inf), axis=-2)


def siamese(params: Any, first: Any, second: Any) -> Any:
    """Siamese networks: the logit that row i of `first` and row j of `second` are of one class, (n, m).

    sum_f w_f |x_if - y_jf| + b, with `params` {"kernel": (features, 1), "bias": (1,)}, those of `nn.Dense(1)` (Koch,
    Zemel and Salakhutdinov 2015, "Siamese neural networks for one-shot image recognition", section 3.1). Classify by
    `best_match`, train by `verification_loss`.

    `first` (n, features), `second` (m, features). Raises ShapeError for other numbers of features.

    >>> import metagrad as mg
    >>> from metagrad import meta
    >>> params = {"kernel": mg.asarray([[-1.0], [-2.0]]), "bias": mg.asarray([0.5])}
    >>> meta.siamese(params, mg.asarray([[0.0, 0.0]]), mg.asarray([[1.0, 1.0], [0.0, 0.0]]))
    Tensor([[-2.5,  0.5]], dtype=float64)
    """
    _comparable("siamese", first, second)
    apart = abs_(expand_dims(first, -2) - expand_dims(second, -3))
    return matmul(apart, params["kernel"])[..., 0] + params["bias"]


def verification_loss(logits: Any, same: Any) -> Any:
    """The logistic loss of pairs, those of one class and those of two weighing the same in all, whatever their numbers.

    Half the mean of log(1 + exp(-z)) over the pairs that are the `same`, and half that of log(1 + exp(z)) over the
    others; Koch et al. 2015 draw as many pairs of either kind. Both kinds must occur.

    >>> import metagrad as mg
    >>> from metagrad import meta
    >>> meta.verification_loss(mg.zeros((2, 2)), mg.asarray([[True, False], [False, False]]))
    Tensor(0.693147, dtype=float64)
    """
    same_ = astype(same, logits.dtype)
    other = astype(logical_not(same), logits.dtype)
    return 0.5 * (sum(same_ * softplus(-logits)) / sum(same_) + sum(other * softplus(logits)) / sum(other))


def best_match(similarity: Any, labels: Any, *, ways: int) -> Any:
    """Each class by its best example: of similarities (m, n) the largest over the examples of the class, (m, ways).

    It turns any likeness to support examples into an answer: nearest neighbour, and Siamese networks at test.

    >>> import metagrad as mg
    >>> from metagrad import meta
    >>> meta.best_match(mg.asarray([[1.0, 5.0, 3.0]]), mg.asarray([0, 1, 0]), ways=2)
    Tensor([[3., 5.]], dtype=float64)
    """
    member = equal(expand_dims(labels, -1), namespace(labels).arange(ways))
    return max(where(member, expand_dims(similarity, -1), -np.inf), axis=-2)


def _members(support: Any, labels: Any, ways: int) -> Any:
    """Which support example is of which class, (n, ways)."""
    if tuple(labels.shape) != tuple(support.shape[:-1]):
        need = f"labels of shape {tuple(support.shape[:-1])}, one for each support example,"
        raise ShapeError(requires("metric", need, f"shape {tuple(labels.shape)}"))
    return equal(expand_dims(labels, -1), namespace(labels).arange(ways))


def _unit(x: Any) -> Any:
    length = vector_norm(x, axis=-1, keepdims=True)
    return x / where(length > 0, length, 1.0)


def _comparable(operation: str, a: Any, b: Any) -> None:
    if not a.shape or not b.shape or a.shape[-1] != b.shape[-1]:
        need = "embeddings of equally many features"
        raise ShapeError(requires(operation, need, f"shapes {tuple(a.shape)} and {tuple(b.shape)}"))
