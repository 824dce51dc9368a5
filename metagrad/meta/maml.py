"""MAML and its first-order form: the meta-loss, and one meta-update of Algorithm 2.

The line numbers are those of Algorithm 2, "MAML for few-shot supervised learning", in Finn, Abbeel and Levine 2017
(arXiv 1703.03400):

     1: randomly initialize theta
     2: while not done do
     3:   sample batch of tasks T_i ~ p(T)
     4:   for all T_i do
     5:     sample K datapoints D = {x, y} from T_i
     6:     evaluate the gradient of L_Ti(f_theta) using D
     7:     compute adapted parameters with gradient descent: theta'_i = theta - alpha * gradient
     8:     sample datapoints D'_i = {x, y} from T_i for the meta-update
     9:   end for
    10:   update theta <- theta - beta * (gradient for theta of the sum of L_Ti(f_theta'_i) using each D'_i)
    11: end while
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.pytree import flatten, tree_map
from ..errors import ShapeError, requires
from ..operations import mean, stack
from ..transforms import named_scope, vmap
from .adaptation import adapt
from .learner import Learner

if TYPE_CHECKING:
    from collections.abc import Callable


def meta_loss(
    loss: Callable[[Any, Any], Any],
    params: Any,
    tasks: tuple[Any, Any],
    *,
    steps: int,
    lr: Any,
    first_order: bool = False,
    adapted: Any = None,
    batched: bool = True,
) -> Any:
    """The mean over tasks of the query loss after adaptation to the support set, a scalar.

    `tasks` is (support, query), trees of arrays with a leading axis of tasks. The tasks run through `vmap`, or one by
    one where `batched` is False; the results agree to rounding. The other arguments are those of `adapt`. The paper
    sums over tasks; the mean keeps the outer step size free of their number.

    Raises ShapeError for tasks that are no such pair.

    >>> import metagrad as mg
    >>> from metagrad import meta
    >>> def loss(w, batch): return mg.mean((w - batch) ** 2)
    >>> tasks = (mg.asarray([[1.0], [3.0]]), mg.asarray([[1.0], [3.0]]))
    >>> meta.meta_loss(loss, 2.0, tasks, steps=1, lr=0.25)
    Tensor(0.25, dtype=float64)
    >>> mg.grad(lambda w: meta.meta_loss(loss, w, tasks, steps=1, lr=0.25))(0.0)  # (1 - 2 lr) * (a gradient of -2)
    Tensor(-1., dtype=float64)
    """
    support, query = _pair(tasks)

    def task_loss(support: Any, query: Any) -> Any:
        theta = adapt(loss, params, support, steps=steps, lr=lr, first_order=first_order, adapted=adapted)  # lines 6, 7
        with named_scope("query loss"):
            return loss(theta, query)  # the term of line 10

    if batched:
        return mean(vmap(task_loss)(support, query))
    count = flatten(support)[0][0].shape[0]
    losses = []
    for i in range(count):  # line 4
        one = tree_map(lambda x, i=i: x[i], (support, query))
        losses.append(task_loss(*one))
    return mean(stack(losses))


def _pair(tasks: Any) -> tuple[Any, Any]:
    if not isinstance(tasks, tuple) or len(tasks) != 2:
        raise ShapeError(requires("meta_loss", "tasks that are a tuple (support, query)", type(tasks).__name__))
    leaves = flatten(tasks)[0]
    shapes = [tuple(getattr(leaf, "shape", ())) for leaf in leaves]
    if not shapes or any(not s for s in shapes) or len({s[0] for s in shapes}) != 1:
        raise ShapeError(requires("meta_loss", "arrays with a leading axis of tasks, of one size", f"shapes {shapes}"))
    return tasks[0], tasks[1]


class MAML(Learner):
    """Model-agnostic meta-learning: `steps` inner steps of size `lr`, and an outer optimiser that sees through them.

    `first_order=True` is first-order MAML: the one argument by which the two differ. `optimizer` is
    as for `Learner`, the other arguments are those of `meta_loss`. Of Algorithm 2, `init(params)` is line 1, and
    `step(state, tasks)` lines 4 to 10 on a sampled batch of tasks (lines 3, 5 and 8); it gives the new state and the
    post-update query loss.

    >>> import metagrad as mg
    >>> from metagrad import meta, optim
    >>> def loss(w, batch): return mg.mean((w - batch) ** 2)
    >>> maml = meta.MAML(loss, optim.SGD(0.25), steps=1, lr=0.25)
    >>> state = maml.init(mg.asarray(0.0))
    >>> state, query_loss = maml.step(state, (mg.ones((4, 5)), mg.ones((4, 5))))
    >>> query_loss, state.params
    (Tensor(0.25, dtype=float64), Tensor(0.125, dtype=float64))
    """

    def __init__(
        self,
        loss: Callable[[Any, Any], Any],
        optimizer: Any,
        *,
        steps: int = 1,
        lr: Any = 0.01,
        first_order: bool = False,
        adapted: Any = None,
        batched: bool = True,
    ) -> None:
        super().__init__(self.meta_loss, optimizer)
        self.loss = loss
        self.steps = steps
        self.lr = lr
        self.first_order = first_order
        self.adapted = adapted
        self.batched = batched

    def meta_loss(self, params: Any, tasks: tuple[Any, Any], steps: int | None = None) -> Any:
        """The mean query loss after `steps` inner steps (as in training, unless given)."""
        return meta_loss(
            self.loss,
            params,
            tasks,
            steps=self.steps if steps is None else steps,
            lr=self.lr,
            first_order=self.first_order,
            adapted=self.adapted,
            batched=self.batched,
        )

    def adapt(self, params: Any, support: Any, steps: int | None = None) -> Any:
        """Lines 6 and 7 for one task: the parameters that have learned it."""
        steps = self.steps if steps is None else steps
        return adapt(self.loss, params, support, steps=steps, lr=self.lr, adapted=self.adapted)
