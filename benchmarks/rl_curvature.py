"""The outer Hessian-vector product: exact beside finite differences, by error, time and the KL that a step reaches.

2D navigation by the published setting, after a few iterations of training. Each way gives products with the Hessian of
the mean KL of the adapted policies, through the inner step; the truth is the exact product in float64. With each, ten
iterations of conjugate gradient make TRPO's first step, whose KL is meant to be 0.01 by the quadratic model.

The authors' differences are those of their code, (g(p + e v) - g(p - e v)) / 2e with e = b / |p|: b is 1e-8 by the
default of the class, and 1 as it is called (the number of slices arrives in its place). The good one is the same with
e = length / |v|, and the length, of five, with the smallest error: it is told the truth.

    python benchmarks/rl_curvature.py [--repeats N] [--json FILE]
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from _common import announce, announce_threads, arguments, write

if TYPE_CHECKING:
    from collections.abc import Callable

TITLE = "The outer Hessian-vector product, exact beside finite differences"
ITERATIONS, MAX_KL, DAMPING = 5, 0.01, 1e-5
LENGTHS = (0.1, 0.05, 0.03, 0.02, 0.01)


def problem(dtype: Any, found: Any = None) -> tuple[Any, Any, Any]:
    """(parameters, objective, what they were made of) in a precision; of what was `found` before, if anything."""
    import metagrad as mg
    from metagrad import rl
    from metagrad.core.pytree import tree_map

    policy = rl.GaussianPolicy(2, dtype=dtype)
    maml = rl.MAML(rl.Navigation(), policy, rl.TRPO(MAX_KL), lr=0.5)
    if found is None:
        state = maml.init(mg.random.key(0))
        generator = np.random.default_rng(0)
        for _ in range(ITERATIONS):
            state, _ = maml.step(state, maml.sample(generator))
        draw = maml.sample(generator)
        found = state.params, maml.collect(state.params, draw.tasks, np.random.default_rng(draw.seed)).batches

    def cast(x: Any) -> Any:
        return np.asarray(x).astype(dtype)

    params = tree_map(lambda x: mg.asarray(cast(x)), found[0])
    return params, maml.objective(params, [tree_map(cast, b) for b in found[1]]), found


def differences(objective: Any, params: Any, step: Callable[[float, float], float]) -> Callable[[Any], Any]:
    """Products by a central difference of the gradient, with a step of the norms of the parameters and of v."""
    import metagrad as mg
    from metagrad.rl.outer import like, vector

    gradient = mg.grad(objective.kl)
    here = vector(params)

    def product(v: Any) -> Any:
        flat = vector(v)
        e = step(float(np.linalg.norm(here)), float(np.linalg.norm(flat)))
        plus, minus = (vector(gradient(like(here + sign * e * flat, params))) for sign in (1, -1))
        return like((plus - minus) / (2 * e), params)

    return product


def main() -> None:
    options = arguments(__doc__.splitlines()[0], repeats=5)
    announce()
    announce_threads()
    import metagrad as mg
    from metagrad import rl
    from metagrad.rl.outer import like, vector

    params, objective, found = problem(np.float32)
    params64, objective64, _ = problem(np.float64, found)
    v64 = mg.grad(objective64.surrogate)(params64)
    true = vector(objective64.kl_product(params64)(v64))
    check = vector(objective64.fisher_product()(v64))
    print(f"J^T F J and H in float64 differ by {np.linalg.norm(check - true) / np.linalg.norm(true):.1e}")

    gradient = mg.grad(objective.surrogate)(params)

    def error_of(product: Callable[[Any], Any]) -> float:
        return float(np.linalg.norm(vector(product(gradient)) - true) / np.linalg.norm(true))

    def of_length(length: float) -> Callable[[Any], Any]:
        return differences(objective, params, lambda p, v: length / v)

    best = min(LENGTHS, key=lambda length: error_of(of_length(length)))
    ways: dict[str, Callable[[], Callable[[Any], Any]]] = {
        "exact, J^T F J": objective.fisher_product,
        "exact, mg.hvp": lambda: objective.kl_product(params),
        f"good differences, length {best:g}": lambda: of_length(best),
        "the authors' differences, b = 1": lambda: differences(objective, params, lambda p, v: 1 / p),
        "the authors' differences, b = 1e-8": lambda: differences(objective, params, lambda p, v: 1e-8 / p),
    }
    rows: list[dict[str, Any]] = []
    for name, make in ways.items():
        began = time.perf_counter()
        product = make()
        recorded = time.perf_counter() - began
        error = error_of(product)
        seconds = []
        for _ in range(options.repeats):
            began = time.perf_counter()
            product(gradient)
            seconds.append(time.perf_counter() - began)
        each = float(np.median(seconds))
        solution = rl.conjugate_gradient(
            lambda v, f=product: vector(f(like(v, params))) + DAMPING * v, vector(gradient)
        )
        curvature = float(solution.x @ (vector(product(like(solution.x, params))) + DAMPING * solution.x))
        length = (2 * MAX_KL / curvature) ** 0.5 if curvature > 0 else float("nan")
        gain, kl = objective.surrogate_and_kl(like(vector(params) + length * solution.x, params))
        print(
            f"{name:36} error {error:.1e}  {each * 1e3:7.0f} ms a product, {recorded * 1e3:5.0f} ms to record  "
            f"KL of the first step {kl:.4f} (meant: {MAX_KL})  gain {gain:.4f}"
            f"{'  met no positive curvature' if solution.indefinite else ''}"
        )
        row = {"way": name, "error": error, "seconds": each, "recorded_s": recorded, "kl": kl, "gain": gain}
        rows.append({**row, "meant_kl": MAX_KL, "indefinite": solution.indefinite})
    write(options.json, [{"benchmark": TITLE, "ways": rows}])


if __name__ == "__main__":
    main()
