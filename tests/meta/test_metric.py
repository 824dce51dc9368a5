"""Learning to compare: what each learner answers on cases computed by hand, and that it can be trained."""

import numpy as np
import pytest
from tolerances import close

import metagrad as mg
from metagrad import meta, nn, optim
from metagrad.errors import ShapeError
from metagrad.meta import metric
from metagrad.testing import check_gradients

RNG = np.random.default_rng(0)
WAYS, SHOTS, QUERIES, FEATURES = 3, 2, 4, 5
SUPPORT = RNG.standard_normal((WAYS * SHOTS, FEATURES))
LABELS = np.array([2, 0, 1, 0, 2, 1])
QUERY = RNG.standard_normal((QUERIES, FEATURES))
HEAD = {"kernel": RNG.standard_normal((FEATURES, 1)), "bias": RNG.standard_normal(1)}


def by_hand(similarity):
    """Similarities of each query to each support example, one pair at a time."""
    return np.array([[similarity(q, s) for s in SUPPORT] for q in QUERY])


def angle(q, s):
    return sum(q * s) / np.sqrt(sum(q * q)) / np.sqrt(sum(s * s))


def test_squared_distances_are_those_of_each_pair():
    close(metric.squared_distance(QUERY, SUPPORT), by_hand(lambda q, s: sum((q - s) ** 2)))


def test_cosines_are_those_of_each_pair():
    close(metric.cosine(QUERY, SUPPORT), by_hand(angle))


def test_a_prototype_is_the_mean_of_its_class():
    expected = [[-sum((q - SUPPORT[k == LABELS].mean(axis=0)) ** 2) for k in range(WAYS)] for q in QUERY]
    close(meta.prototypical(SUPPORT, LABELS, QUERY, ways=WAYS), expected)


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_matching_gives_each_class_the_attention_of_its_examples(scale):
    weights = np.exp(scale * by_hand(angle))
    expected = np.stack([weights[:, k == LABELS].sum(axis=1) for k in range(WAYS)], axis=1)
    expected /= weights.sum(axis=1, keepdims=True)
    close(mg.exp(meta.matching(SUPPORT, LABELS, QUERY, ways=WAYS, scale=scale)), expected)


def test_matching_stays_finite_where_the_attention_of_a_class_underflows():
    logits = meta.matching(SUPPORT, LABELS, QUERY, ways=WAYS, scale=2000.0)
    weights = 2000.0 * by_hand(angle)
    best = np.stack([weights[:, k == LABELS].max(axis=1) for k in range(WAYS)], axis=1)
    np.testing.assert_allclose(logits, best - best.max(axis=1, keepdims=True), atol=1)


def test_siamese_logits_weigh_the_absolute_differences():
    expected = by_hand(lambda q, s: sum(HEAD["kernel"][:, 0] * abs(q - s)) + HEAD["bias"][0])
    close(meta.siamese(HEAD, QUERY, SUPPORT), expected)


def test_the_best_match_of_a_class_is_its_most_alike_example():
    similarity = RNG.standard_normal((QUERIES, WAYS * SHOTS))
    expected = np.stack([similarity[:, k == LABELS].max(axis=1) for k in range(WAYS)], axis=1)
    np.testing.assert_array_equal(np.asarray(meta.best_match(similarity, LABELS, ways=WAYS)), expected)


def test_pairs_of_one_class_weigh_as_much_as_all_others():
    logits = RNG.standard_normal((QUERIES, WAYS * SHOTS))
    same = np.arange(QUERIES)[:, None] % WAYS == LABELS
    ones = -np.log(1 / (1 + np.exp(-logits[same])))
    others = -np.log(1 - 1 / (1 + np.exp(-logits[~same])))
    close(meta.verification_loss(logits, same), (ones.mean() + others.mean()) / 2)


LOSSES = {
    "prototypical": lambda s, q: -mg.sum(nn.log_softmax(meta.prototypical(s, LABELS, q, ways=WAYS))[:, 1]),
    "matching": lambda s, q: -mg.sum(meta.matching(s, LABELS, q, ways=WAYS)[:, 1]),
    "siamese": lambda s, q: meta.verification_loss(meta.siamese(HEAD, q, s), np.arange(QUERIES)[:, None] % 3 == LABELS),
}


@pytest.mark.parametrize("name", list(LOSSES))
def test_losses_can_be_differentiated_twice(name):
    check_gradients(LOSSES[name], (SUPPORT, QUERY), order=2)


def test_a_row_of_zeros_has_cosine_0_and_a_finite_gradient():
    def f(x):
        return mg.sum(metric.cosine(x, SUPPORT))

    rows = np.concatenate([np.zeros((1, FEATURES)), QUERY])
    assert not np.asarray(metric.cosine(rows, SUPPORT))[0].any()
    assert np.isfinite(np.asarray(mg.grad(f)(rows))).all()


@pytest.mark.parametrize("learner", [meta.prototypical, meta.matching])
def test_tasks_at_once_are_the_same_as_one_by_one(learner):
    support = RNG.standard_normal((4, *SUPPORT.shape))
    query = RNG.standard_normal((4, *QUERY.shape))
    labels = np.stack([RNG.permutation(LABELS) for _ in range(4)])

    def answer(support, labels, query):
        return learner(support, labels, query, ways=WAYS)

    found = mg.vmap(answer)(support, labels, query)
    close(found, [np.asarray(answer(*one)) for one in zip(support, labels, query, strict=True)])


def test_a_learner_of_episodes_follows_the_mean_gradient_over_tasks():
    tasks = (
        (RNG.standard_normal((3, 6, 2)), LABELS[None].repeat(3, 0)),
        (
            RNG.standard_normal((3, 4, 2)),
            np.tile(np.arange(4) % WAYS, (3, 1)),
        ),
    )
    weights = RNG.standard_normal((2, FEATURES))

    def loss(w, support, query):
        logits = meta.prototypical(support[0] @ w, support[1], query[0] @ w, ways=WAYS)
        return mg.mean(nn.softmax_cross_entropy(logits, query[1]))

    learner = meta.Learner(meta.over_tasks(loss), optim.SGD(0.1))
    state, value = learner.step(learner.init(mg.asarray(weights)), tasks)
    each = [
        mg.value_and_grad(loss)(weights, (tasks[0][0][i], tasks[0][1][i]), (tasks[1][0][i], tasks[1][1][i]))
        for i in range(3)
    ]
    close(value, np.mean([float(v) for v, _ in each]))
    close(state.params, weights - 0.1 * np.mean([np.asarray(g) for _, g in each], axis=0), order=1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: metric.cosine(np.ones((2, 3)), np.ones((2, 4))),
            r"\[cosine\] requires .* shapes \(2, 3\) and \(2, 4\)",
        ),
        (lambda: meta.siamese(HEAD, np.ones((2, 3)), np.ones((2, 4))), r"\[siamese\] requires embeddings"),
        (lambda: meta.matching(SUPPORT, LABELS[1:], QUERY, ways=3), r"\[metric\] requires labels of shape \(6,\)"),
    ],
)
def test_what_does_not_fit_gets_one_sentence(call, words):
    with pytest.raises(ShapeError, match=words):
        call()
