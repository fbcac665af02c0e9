"""A captioner that looks: for each next word it attends to the places of a photograph (Xu et al. 2015, arXiv:1502.03044).

An LSTM reads the words. Its states then look at the grid's cells by multi-head attention (Vaswani et al. 2017, arXiv:1706.03762), in one
pre-norm block. The output layer shares its weights with the words' embedding. All words of a caption are predicted at once while it learns.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers, ops

from captioning.batches import Captions
from captioning.models import adam
from captioning.models.plain import activation, dense, weights
from core import devices
from core.progress import bar

NAME = "attention"
RECIPE = {  # the defaults of step 2
    "epochs": 10,
    "batch_size": 20,
    "learning_rate": 1e-3,
    "epsilon": 1e-7,
    "average": True,
    "dimensions": 512,
    "minimum_count": 4,
}
DECODING = {"length_power": 0.7, "repeats": False, "longest": 20}
BY_PHOTOGRAPH = True  # a batch has all captions of its photographs, whose grids it then holds once
UNITS, HEADS, DROPOUT, SMOOTHING = 256, 8, 0.3, 0.1
WARM_UP, DECAY, AVERAGED = 300, 0.01, 500  # updates; AdamW's weight decay; updates in the moving average
LIMIT = 6  # standard deviations, at which the grid's numbers are clipped
CHUNK = 256  # photographs whose grids are in memory at once
LAYERS = frozenset({"grid_standardised", "grid_components", "grid_dense", "word_embedding", "lstm", "attention"})


def build(feature_shape: Sequence[int], vocabulary_size: int, dimensions: int = 512) -> keras.Model:
    """Return the captioner: what word comes next, after each of the words.

    Inputs `grid`, float32 (N, cells, C), or for one vector a photograph `feature` (N, D), and `words`, int32 (N, T) with zeros on the
    right; output the probabilities of each next word, float32 (N, T, vocabulary_size). Those after a zero mean nothing.

    :param dimensions: principal components of a cell; as many as it has numbers, at most.
    """
    seen = keras.Input(feature_shape, name="grid" if len(feature_shape) == 2 else "feature")
    grid = seen if len(feature_shape) == 2 else ops.expand_dims(seen, 1)
    *_, cells, channels = grid.shape
    cell = layers.BatchNormalization(
        epsilon=1e-6, center=False, scale=False, trainable=False, name="grid_standardised"
    )(grid)
    cell = ops.clip(cell, -LIMIT, LIMIT)
    cell = layers.Dense(min(dimensions, channels), trainable=False, name="grid_components")(cell)  # (N, cells, K)
    cell = layers.Dropout(DROPOUT, name="grid_dropout")(cell)
    # The bias of each cell is its learned position.
    cell = layers.EinsumDense("nck,ku->ncu", (cells, UNITS), bias_axes="cu", name="grid_dense")(cell)
    cell = layers.LayerNormalization(epsilon=1e-6, name="grid_norm")(cell)  # (N, cells, 256)

    words = keras.Input((None,), dtype="int32", name="words")
    normal = keras.initializers.RandomNormal(stddev=UNITS**-0.5)
    made = [
        layers.ReversibleEmbedding(vocabulary_size, UNITS, embeddings_initializer=normal, name="word_embedding"),
        layers.Dropout(DROPOUT, name="word_dropout"),
        layers.LSTM(UNITS, return_sequences=True, name="lstm"),
        layers.LayerNormalization(epsilon=1e-6, name="query_norm"),
        layers.MultiHeadAttention(HEADS, UNITS // HEADS, name="attention"),
        layers.Dropout(DROPOUT, name="attention_dropout"),
        layers.LayerNormalization(epsilon=1e-6, name="feed_norm"),
        layers.Dense(4 * UNITS, activation="gelu", name="feed_wide"),
        layers.Dense(UNITS, name="feed_narrow"),
        layers.Dropout(DROPOUT, name="feed_dropout"),
        layers.LayerNormalization(epsilon=1e-6, name="final_norm"),
    ]
    embedding, *_ = made
    logits = embedding(_read({layer.name: layer for layer in made}.get, words, cell), reverse=True)
    next_word = layers.Softmax(dtype="float32", name="next_word")(logits)
    return keras.Model([seen, words], next_word, name="captioner")


def _read(
    layer: Callable[[str], layers.Layer], words: keras.KerasTensor, cells: keras.KerasTensor
) -> keras.KerasTensor:
    """Return what the captioner makes of words (N, T) and cells (N, cells, 256), float (N, T, 256)."""
    read = layer("word_dropout")(layer("word_embedding")(words))
    read = layers.add([read, layer("lstm")(read)])
    looked = layer("attention")(layer("query_norm")(read), cells)
    read = layers.add([read, layer("attention_dropout")(looked)])
    fed = layer("feed_narrow")(layer("feed_wide")(layer("feed_norm")(read)))
    return layer("final_norm")(layers.add([read, layer("feed_dropout")(fed)]))


def prepare(train: Captions, dev: Captions, vocabulary_size: int, recipe: Any) -> tuple:
    """Return a captioner that knows the mean, standard deviation and principal components of train's cells; the captions; and what makes the captioner that is written."""
    shape = train.features.shape[1:]
    model = build(shape, vocabulary_size, recipe.dimensions)
    mean, variance, components = principal_components(train.features, model.get_layer("grid_components").units)
    model.get_layer("grid_standardised").set_weights([mean, variance])
    model.get_layer("grid_components").set_weights([components, np.zeros(components.shape[1])])
    return model, train, dev, lambda model: model


def principal_components(features: Any, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean and variance (C,) of a grid's numbers, and the principal components (C, count) of what is standardised and clipped.

    The components' mean square over all is 1. Only some photographs' grids are in memory at once.

    :param features: what gives float (B, cells, C) or (B, C) for a slice of photographs.
    """

    def chunks(what: str) -> Any:
        for first in bar(range(0, len(features), CHUNK), desc=what, leave=False):
            part = np.asarray(features[first : first + CHUNK], "float32")
            yield part.reshape(-1, part.shape[-1])

    channels = features.shape[-1]
    cells, total, squares = 0, np.zeros(channels), np.zeros(channels)
    for part in chunks("mean and variance"):
        cells += len(part)
        total += part.sum(axis=0, dtype="float64")
        squares += np.einsum("nc,nc->c", part, part, dtype="float64")
    mean = total / cells
    variance = np.maximum(squares / cells - mean**2, 0)
    usual = variance.mean() + 1e-6  # for numbers that hardly vary
    variance = np.where(variance < variance.mean() / 1e4, usual, variance)
    covariance, scale = np.zeros((channels, channels)), np.sqrt(variance + 1e-6)
    for part in chunks("principal components"):
        part = np.clip((part - mean) / scale, -LIMIT, LIMIT).astype("float32")
        covariance += part.T @ part
    values, vectors = np.linalg.eigh(covariance / cells)
    kept = values[::-1][:count]
    return mean, variance, vectors[:, ::-1][:, :count] / np.sqrt(kept.mean())


class Trainer(keras.Model):
    """A captioner up to its output layer, which is in the loss: see `trainer`."""

    def compute_loss(self, x, y, y_pred, sample_weight=None, training=True):
        logits = self.embedding(y_pred, reverse=True)  # (R, V)
        logs = ops.log_softmax(ops.cast(logits, "float32"))
        losses = -ops.take_along_axis(logs, y[:, None], axis=1)[:, 0]
        if sample_weight is not None:
            return ops.mean(losses * sample_weight)
        if training:
            losses = (1 - SMOOTHING) * losses - SMOOTHING * ops.mean(logs, axis=1)
        return devices.part_of_mean(ops.mean(losses), ops.shape(y)[0])


def trainer(captioner: keras.Model) -> Trainer:
    """Return a model that shares the captioner's layers and learns only from the real next words; it is compiled without a loss.

    Inputs `real_tokens`, int32 (R,), the positions of real words in the flattened `words`; the grids of a batch's photographs (P, cells,
    C); `photograph`, int32 (N,), which of them a caption is of; and `words` (N, T). Targets are the next words, int32 (R,), smoothed while
    it learns. Since Keras weighs each batch by the length of the first input, `loss` and `val_loss` are averages over next words.
    With sample weights (R,) the loss is the weighted mean of -log(probability), not smoothed.
    """
    real_tokens, photograph = (keras.Input((), dtype="int32", name=name) for name in ("real_tokens", "photograph"))
    seen, words = captioner.inputs
    cells = ops.take(captioner.get_layer("grid_norm").output, photograph, axis=0)  # (N, cells, 256)
    read = ops.take(ops.reshape(_read(captioner.get_layer, words, cells), (-1, UNITS)), real_tokens, axis=0)
    model = Trainer([real_tokens, seen, photograph, words], read, name="trainer")
    model.embedding = captioner.get_layer("word_embedding")
    return model


def optimizer(recipe: Any, updates: int) -> keras.optimizers.Optimizer:
    """Return AdamW, whose learning rate warms up and falls by a cosine over all epochs; `updates` is of one epoch."""
    total = updates * recipe.epochs
    warm_up = min(WARM_UP, total // 10)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, total - warm_up), warmup_target=recipe.learning_rate, warmup_steps=warm_up
    )
    average = {"use_ema": True, "ema_momentum": 1 - 1 / min(AVERAGED, updates)} if recipe.average else {}
    return adam.AdamW(rate, beta_2=0.98, epsilon=recipe.epsilon, weight_decay=DECAY, global_clipnorm=1.0, **average)


class State(NamedTuple):
    """Captions under way, a row each: keys (R, heads, 32, cells) and values (R, heads, cells, 32) of their photographs, the LSTM's states (R, 256), and where they looked last (R, cells)."""

    keys: np.ndarray
    values: np.ndarray
    hidden: np.ndarray
    cell: np.ndarray
    attention: np.ndarray


class Stepper:
    """A captioner's arithmetic on plain arrays, one word at a time."""

    def __init__(self, captioner: keras.Model) -> None:
        names = ("grid_norm", "query_norm", "feed_norm", "final_norm")
        self.norm = {name: weights(captioner, name) for name in names}
        self.grid = [weights(captioner, name) for name in ("grid_standardised", "grid_components", "grid_dense")]
        (self.embedding,) = weights(captioner, "word_embedding")  # (V, 256)
        kernel, self.recurrent, bias = weights(captioner, "lstm")
        self.word_gates = self.embedding @ kernel + bias  # (V, 1024)
        attention = weights(captioner, "attention")  # kernels (256, heads, 32), biases (heads, 32), in pairs
        self.query, self.key, self.value, self.output = zip(attention[::2], attention[1::2], strict=True)
        self.feed = [dense(captioner, name) for name in ("feed_wide", "feed_narrow")]
        self.sigmoid = activation(keras.activations.sigmoid)

    def _normed(self, name: str, inputs: np.ndarray) -> np.ndarray:
        gamma, beta = self.norm[name]
        centred = inputs - inputs.mean(axis=-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-6) * gamma + beta

    def start(self, features: np.ndarray) -> State:
        """Return the state before the first word of photographs with these grids (N, cells, C), or vectors (N, D)."""
        grids = np.asarray(features, "float32")
        grids = grids if grids.ndim == 3 else grids[:, None]
        (mean, variance), (components, shift), (kernel, position) = self.grid
        grids = np.clip((grids - mean) / np.sqrt(variance + 1e-6), -LIMIT, LIMIT)
        cells = self._normed("grid_norm", (grids @ components + shift) @ kernel + position)  # (N, cells, 256)
        keys, values = (np.tensordot(cells, kernel, 1) + bias for kernel, bias in (self.key, self.value))
        keys, values = (np.ascontiguousarray(keys.transpose(0, 2, 3, 1)), np.ascontiguousarray(values.swapaxes(1, 2)))
        empty = np.zeros((len(cells), UNITS), "float32")
        return State(keys, values, empty, empty, np.zeros(cells.shape[:2], "float32"))

    def step(self, state: State, words: np.ndarray) -> tuple[np.ndarray, State]:
        """Read one more word (R,) of each caption; return the logits of the next (R, V) and the state after it."""
        keys, values, hidden, cell, _ = state
        gates = self.word_gates[words] + hidden @ self.recurrent
        enter, forget, candidate, leave = np.split(gates, 4, axis=1)
        cell = self.sigmoid(forget) * cell + self.sigmoid(enter) * np.tanh(candidate)
        hidden = self.sigmoid(leave) * np.tanh(cell)
        read = self.embedding[words] + hidden
        kernel, bias = self.query
        query = np.tensordot(self._normed("query_norm", read), kernel, 1) + bias  # (R, heads, 32)
        scores = (query[:, :, None] @ keys)[:, :, 0] / np.sqrt(query.shape[-1])
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares = scores / scores.sum(axis=-1, keepdims=True)  # (R, heads, cells)
        looked = (shares[:, :, None] @ values)[:, :, 0]  # (R, heads, 32)
        kernel, bias = self.output
        read = read + np.tensordot(looked, kernel, 2) + bias
        fed = self._normed("feed_norm", read)
        for layer in self.feed:
            fed = layer(fed)
        logits = self._normed("final_norm", read + fed) @ self.embedding.T
        return logits, State(keys, values, hidden, cell, shares.mean(axis=1))
