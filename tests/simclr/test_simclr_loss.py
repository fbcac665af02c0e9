"""NT-Xent over whole batches equals equation 1 of the paper, written as loops over pairs."""

import numpy as np
import pytest
import tensorflow as tf

from simclr.loss import nt_xent

RANDOM = np.random.default_rng(0)


def by_loops(projections, temperature):
    """Return each view's loss, first views before second ones, and whether its positive is the nearest."""
    count = len(projections)
    views = [projections[i % count, i // count] for i in range(2 * count)]
    losses, right = [], []
    for i, view in enumerate(views):
        similarity = {
            j: view @ other / (np.linalg.norm(view) * np.linalg.norm(other) * temperature)
            for j, other in enumerate(views)
            if j != i
        }
        positive = (i + count) % (2 * count)
        losses.append(-np.log(np.exp(similarity[positive]) / sum(map(np.exp, similarity.values()))))
        right.append(max(similarity, key=similarity.get) == positive)
    return np.array(losses), np.array(right)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_loss_and_accuracy_equal_those_by_loops(temperature):
    anchors = RANDOM.normal(size=(6, 1, 8))
    projections = anchors + RANDOM.normal(size=(6, 2, 8))
    losses, right = nt_xent(projections.astype("float32"), temperature)
    expected, expected_right = by_loops(projections, temperature)
    assert np.allclose(losses, expected, rtol=1e-5)
    assert np.array_equal(right, expected_right) and 0 < expected_right.mean() < 1


def test_a_replica_sees_the_negatives_of_all():
    projections = RANDOM.normal(size=(6, 2, 8)).astype("float32")
    whole, right = (np.asarray(part).reshape(2, 6) for part in nt_xent(projections, 0.2))
    for place in (0, 1, 2):
        mine = slice(2 * place, 2 * place + 2)
        gathered = iter([projections[:, 0], projections[:, 1]])

        def gather(_, gathered=gathered):
            every = next(gathered)
            return every / np.linalg.norm(every, axis=1, keepdims=True)

        losses, nearest = nt_xent(projections[mine], 0.2, gather, place)
        assert np.allclose(np.reshape(losses, (2, 2)), whole[:, mine], rtol=1e-5)
        assert np.array_equal(np.reshape(nearest, (2, 2)), right[:, mine])


def test_extreme_projections_in_half_precision_give_finite_losses_and_gradients():
    for scale in (0.0, 1e-4, 1e4):
        projections = tf.constant(scale * RANDOM.normal(size=(4, 2, 8)), tf.bfloat16)
        with tf.GradientTape() as tape:
            tape.watch(projections)
            losses, _ = nt_xent(projections, 0.01)
        assert losses.dtype == tf.float32
        assert np.isfinite(losses).all()
        assert np.isfinite(np.float32(tape.gradient(losses, projections))).all()
