"""NT-Xent, the normalised temperature-scaled cross entropy between views (SimCLR, equation 1)."""

from collections.abc import Callable

from keras import ops


def nt_xent(projections, temperature: float, gather: Callable = lambda tensor: tensor, position: int = 0):
    """Return the loss of each view, (2N,), and whether its positive is the nearest of all other views, (2N,) bool.

    The negatives of a view are all views of the other photographs of the *global* batch. Logarithms of sums are taken in
    float32 after the largest term is subtracted, so any finite projections give a finite loss.

    :param projections: (N, 2, D), any float type: the two views of each of this replica's photographs.
    :param gather: this replica's (N, D) -> the (M, D) of all replicas, in the same order everywhere.
    :param position: this replica's place in that order; its photographs begin at position x N.
    """
    projections = ops.cast(projections, "float32")
    projections = projections / ops.sqrt(ops.sum(projections**2, axis=-1, keepdims=True) + 1e-12)
    first, second = projections[:, 0], projections[:, 1]  # (N, D)
    views = ops.concatenate([first, second])  # (2N, D)
    candidates = ops.concatenate([gather(first), gather(second)])  # (2M, D)
    count, total = ops.shape(first)[0], ops.shape(candidates)[0] // 2
    own = ops.arange(count) + position * count
    itself, positive = ops.concatenate([own, own + total]), ops.concatenate([own + total, own])
    similarity = ops.matmul(views, ops.transpose(candidates)) / temperature  # (2N, 2M)
    similarity = ops.where(ops.one_hot(itself, 2 * total, dtype="bool"), -1e9, similarity)
    wanted = ops.sum(similarity * ops.one_hot(positive, 2 * total), axis=-1)
    return ops.logsumexp(similarity, axis=-1) - wanted, ops.argmax(similarity, axis=-1) == ops.cast(positive, "int32")
