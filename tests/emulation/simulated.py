"""The kernels in Numba CUDA in Numba's simulator, on emulated arrays, against the definitions: prints what was checked.

A process of its own, because Numba decides whether to simulate when it is imported: NUMBA_ENABLE_CUDASIM=1.
"""

import numpy as np

import metagrad_kernels as kernels
from metagrad_kernels.emulation import arrays

RNG = np.random.default_rng(0)


def same(function, *arguments, rtol):
    """What Numba's kernel gives is what the reference gives."""
    expected = function(*arguments, implementation="reference")
    given = [arrays.asarray(x) if isinstance(x, np.ndarray) else x for x in arguments]
    result = function(*given, implementation="numba")
    pairs = [(result, expected)] if isinstance(expected, np.ndarray) else zip(result, expected, strict=True)
    for got, want in pairs:
        assert type(got) is arrays.ndarray
        assert (got.shape, got.dtype, got.flags.c_contiguous) == (want.shape, want.dtype, True)
        np.testing.assert_allclose(got.get(), want, rtol=rtol, atol=rtol)
    print(function.__name__)


def pooling(dtype, size, window, stride, padding, images=2, channels=3):
    x = RNG.choice([-1, -0.0, 0, 1, np.inf, -np.inf, np.nan], (images, *size, channels)).astype(dtype)
    geometry = window, stride, padding
    same(kernels.max_pool, x, *geometry, rtol=0)
    values, indices = kernels.max_pool(x, *geometry)
    same(kernels.window_gather, np.asfortranarray(x), indices, *geometry, rtol=0)
    anywhere = RNG.integers(0, 2 * window[0] * window[1], values.shape).astype(indices.dtype)
    same(kernels.window_gather, x, anywhere, *geometry, rtol=0)
    g, rtol = RNG.standard_normal(values.shape).astype(dtype), 20 * np.finfo(dtype).eps
    same(kernels.window_scatter, g, anywhere, size, *geometry, rtol=rtol)
    same(kernels.avg_pool, RNG.standard_normal(x.shape).astype(dtype), *geometry, rtol=rtol)
    same(kernels.avg_pool_transpose, g, size, *geometry, rtol=rtol)


def softmax_cross_entropy(dtype, rows, classes):
    logits, g = RNG.standard_normal((rows, classes)).astype(dtype), RNG.standard_normal(rows).astype(dtype)
    logits[0, 0] = -np.inf
    if rows > 2:
        logits[1, -1], logits[2] = np.inf, -np.inf  # without an answer
    soft, rtol = RNG.uniform(0, 1, logits.shape).astype(dtype), 100 * np.finfo(dtype).eps
    for labels in (RNG.integers(0, classes, rows), RNG.integers(0, classes, rows).astype(np.uint8), soft):
        same(kernels.softmax_cross_entropy, logits, labels, rtol=rtol)
        same(kernels.softmax_cross_entropy_gradient, logits, labels, g, rtol=rtol)
    outside = arrays.asarray(np.full(rows, classes))
    losses = kernels.softmax_cross_entropy(arrays.asarray(logits), outside, implementation="numba")
    assert np.isnan(losses.get()).all()
    gradient = kernels.softmax_cross_entropy_gradient(
        arrays.asarray(logits), outside, arrays.asarray(g), implementation="numba"
    )
    assert np.isnan(gradient.get()).all()


def preferred():
    """What `prefer` names serves a meta-gradient in all its orders, and what it does not have is served as ever."""
    import metagrad as mg
    from metagrad_kernels import cuda_numba

    launched = []
    launch = cuda_numba.Kernel.launch

    def noted(kernel, *arguments):
        launched.append(kernel.function.__name__)
        launch(kernel, *arguments)

    cuda_numba.Kernel.launch = noted

    def loss(w, x, labels):
        pooled = mg.nn.avg_pool2d(mg.nn.max_pool2d(mg.nn.relu(x * w), 2), (1, 2), stride=1)
        return mg.mean(mg.nn.softmax_cross_entropy(mg.sum(pooled, axis=(1, 2)), labels))

    def after_a_step(w, x, labels):
        return loss(w - 0.5 * mg.grad(loss)(w, x, labels), x, labels)

    inputs = RNG.standard_normal(3), RNG.standard_normal((2, 4, 4, 3)), np.array([0, 2])
    expected = mg.grad(after_a_step)(*inputs)
    assert not launched
    with kernels.prefer("numba"):
        found = mg.grad(after_a_step)(*[mg.asarray(arrays.asarray(x)) for x in inputs])
    np.testing.assert_allclose(mg.asarray(found, device="cpu"), expected, rtol=1e-12)
    assert {"_max_pool", "_window_scatter", "_avg_pool", "_avg_pool_transpose", "_losses", "_gradient"} <= {*launched}
    print("preferred", len(launched))


if __name__ == "__main__":
    pooling(np.float32, (5, 4), (2, 2), (2, 2), ((0, 0), (0, 0)))
    pooling(np.float64, (4, 5), (3, 2), (1, 2), ((2, 1), (0, 1)))
    pooling(np.float32, (3, 2), (1, 1), (2, 3), ((0, 0), (0, 0)), channels=1)
    pooling(np.float32, (17, 17), (17, 16), (1, 1), ((0, 0), (0, 0)), images=1, channels=1)
    softmax_cross_entropy(np.float64, 5, 1)
    softmax_cross_entropy(np.float32, 37, 5)
    softmax_cross_entropy(np.float64, 3, 150)
    preferred()
