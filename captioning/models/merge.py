"""The captioner: a "merge" model (Tanti et al. 2018, arXiv:1708.02043) of a photograph's feature and the words so far.

The LSTM never sees the photograph: its states are added to the feature's projection afterwards. So it runs once over a whole caption, and
all next words are predicted at once, with the arithmetic of one prediction for each prefix.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from captioning.batches import Captions
from captioning.models import adam
from captioning.models.plain import activation, dense, weights
from core import devices

NAME = "merge"
RECIPE = {  # the defaults of step 2
    "epochs": 20,
    "batch_size": 128,
    "learning_rate": 0.006,
    "epsilon": 3e-5,
    "average": True,
    "dimensions": None,
    "minimum_count": 1,
}
DECODING = {}
BY_PHOTOGRAPH = False
SQUARED_LENGTH = 32  # of a standardised feature, on average; the longer, the further each update of Adam goes
UNITS = 256
CONFIGURATION = {  # of the layers with weights
    "feature_dense": {"units": UNITS, "activation": "relu"},
    "word_embedding": {"output_dim": UNITS},
    "lstm": {"units": UNITS},
    "decoder_dense": {"units": UNITS, "activation": "relu"},
    "next_word": {"activation": "softmax"},
}
LAYERS = frozenset(CONFIGURATION)
PARTS = 4  # of a batch's next words: the probabilities of a part, some 10 MB on Flickr8k, stay in the processor's cache
LANES = 16  # float32 numbers in a processor's widest register: products are faster where rows begin at multiples


def build(
    feature_shape: Sequence[int],
    vocabulary_size: int,
    configuration: Mapping[str, Mapping[str, Any]] = CONFIGURATION,
    length: int | None = None,
    masked: bool = True,
) -> keras.Model:
    """Return the captioner: what word comes next, after each of the words.

    Inputs `feature`, float32 (N, *feature_shape), a vector for each photograph, and `words`, int32 (N, T) with zeros on the right; output, the probabilities of each next
    word, float32 (N, T, vocabulary_size) in any precision. Those after a zero mean nothing.

    :param length: T, where it is fixed; needed without a mask.
    :param masked: whether a prefix is read alone, or after the zeros that pad it on the left to T words.
    """

    def dense(name: str, **more: Any) -> layers.Dense:
        return layers.Dense(name=name, **configuration[name], **more)

    feature = keras.Input(feature_shape, name="feature")
    seen = layers.Dropout(0.5, name="feature_dropout")(feature)
    seen = dense("feature_dense")(seen)  # (N, 256)
    words = keras.Input((length,), dtype="int32", name="words")
    read = words if masked else _prefixes(words, length)
    embedding = layers.Embedding(vocabulary_size, name="word_embedding", **configuration["word_embedding"])
    read = embedding(read)  # (N, T, 256)
    read = layers.Dropout(0.5, name="word_dropout")(read)
    # Zeros are on the right, where they cannot reach a real word: without a mask the LSTM may use cuDNN.
    read = layers.LSTM(return_sequences=masked, name="lstm", **configuration["lstm"])(read)  # (N, T, 256)
    if not masked:
        read = ops.reshape(read, (-1, length, read.shape[-1]))
    merged = layers.Add(name="merge")([ops.expand_dims(seen, 1), read])  # (N, T, 256)
    decoded = dense("decoder_dense")(merged)
    next_word = dense("next_word", units=vocabulary_size, dtype="float32")(decoded)
    return keras.Model([feature, words], next_word, name="captioner")


def _prefixes(words: keras.KerasTensor, length: int) -> keras.KerasTensor:
    """Return each prefix of the words (N, T) with zeros on its left, (N * T, T)."""
    padded = ops.pad(words, [[0, 0], [length - 1, 0]])
    windows = np.add.outer(np.arange(length), np.arange(length))
    return ops.reshape(ops.take(padded, windows, axis=1), (-1, length))


def prepare(train: Captions, dev: Captions, vocabulary_size: int, recipe: Any) -> tuple:
    """Return a new captioner, the captions as it learns from them, and what makes of it a captioner of features as they are."""
    if not recipe.standardise:
        return build(train.features.shape[1:], vocabulary_size), train, dev, lambda model: model
    mean, deviation = train.features.mean(axis=0), train.features.std(axis=0)  # (D,) each
    # For numbers that hardly vary in train, such as a dead unit's. Their own would make those of dev huge.
    usual = deviation.mean()
    scale = (np.where(deviation < usual / 100, usual, deviation) + 1e-6) * np.sqrt(len(mean) / SQUARED_LENGTH)
    train, dev = (part.standardised(mean, scale) for part in (train, dev))
    model = build(train.features.shape[1:], vocabulary_size)
    return model, train, dev, lambda model: on_raw_features(model, mean, scale)


def optimizer(recipe: Any, updates: int) -> keras.optimizers.Optimizer:
    """Return Adam, whose moving average of the weights is over about an epoch of so many updates."""
    average = {"use_ema": True, "ema_momentum": 1 - 1 / updates} if recipe.average else {}
    return adam.Adam(recipe.learning_rate, epsilon=recipe.epsilon, **average)


class Trainer(keras.Model):
    """A captioner's layers up to its last, which is in the loss: see `trainer`."""

    def compute_loss(self, x, y, y_pred, sample_weight=None, training=True) -> tf.Tensor:
        if sample_weight is not None:
            logits = ops.matmul(ops.cast(y_pred, "float32"), self.next_word.kernel) + self.next_word.bias
            losses = keras.losses.sparse_categorical_crossentropy(y, logits, from_logits=True)
            return ops.mean(losses * sample_weight)
        loss = crossentropy(ops.cast(y_pred, "float32"), *map(tf.convert_to_tensor, self.next_word.weights), y)
        return devices.part_of_mean(loss, ops.shape(y)[0])


def trainer(captioner: keras.Model) -> Trainer:
    """Return a model that shares the captioner's layers and learns only from the real next words; it is compiled without a loss.

    Inputs `real_tokens`, int32 (R,), the positions of real words in the flattened `words`, then the captioner's own; targets the next
    words, int32 (R,); output what the layer `next_word` sees, (R, 256). That layer, which costs most, skips the padding; and since Keras
    weighs each batch by the length of the first input, `loss` and `val_loss` are exact averages over next words.
    With sample weights (R,) the loss is the weighted mean of -log(probability).
    """
    real_tokens = keras.Input((), dtype="int32", name="real_tokens")
    merged = captioner.get_layer("merge").output  # (N, T, 256)
    merged = ops.take(ops.reshape(merged, (-1, UNITS)), real_tokens, axis=0)  # (R, 256)
    model = Trainer([real_tokens, *captioner.inputs], captioner.get_layer("decoder_dense")(merged), name="trainer")
    model.next_word = captioner.get_layer("next_word")
    return model


@tf.custom_gradient
def crossentropy(
    decoded: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, next_words: tf.Tensor
) -> tuple[tf.Tensor, Callable]:
    """Return the mean of -log softmax(decoded @ kernel + bias)[next_words], a scalar; `decoded` (R, 256), `kernel` (256, V), `next_words` (R,).

    It is Keras' own sparse categorical crossentropy, and so are its gradients, but they are made beside it, part by part: no array
    (R, V) ever leaves the cache. A probability too small for float32 counts as the smallest.
    """
    count, vocabulary_size = tf.shape(next_words)[0], kernel.shape[1]
    padding = [[0, 0], [0, -vocabulary_size % LANES]]  # with words that are never next
    layer = tf.concat([tf.pad(kernel, padding), tf.pad(bias[None], padding, constant_values=-1e30)], axis=0)
    turned = tf.transpose(layer[:-1])  # (V, 256): a product with it is faster than one that turns it for each part
    decoded = tf.concat([decoded, tf.ones((count, 1))], axis=1)  # (R, 257), the last for the bias
    losses, slopes = [], []
    for part in range(PARTS):
        rows = slice(count * part // PARTS, count * (part + 1) // PARTS)
        seen, words = decoded[rows], next_words[rows]
        places = tf.stack([tf.range(tf.size(words)), words], axis=1)
        probabilities = tf.nn.softmax(tf.matmul(seen, layer))  # (R / PARTS, V)
        of_words = tf.gather_nd(probabilities, places)
        losses.append(-tf.reduce_sum(tf.math.log(tf.maximum(of_words, np.finfo("float32").tiny))))
        with tf.control_dependencies([of_words]):  # then nothing else needs the probabilities, and they are not copied
            slope = tf.tensor_scatter_nd_sub(probabilities, places, tf.ones_like(of_words))  # of the loss by the logits
        slopes.append((tf.matmul(slope, turned), tf.matmul(seen, slope, transpose_a=True)))
    by_decoded, by_layer = zip(*slopes, strict=True)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, None]:
        scale = upstream / tf.cast(count, "float32")
        of_layer = tf.add_n(by_layer)[:, :vocabulary_size] * scale
        return tf.concat(by_decoded, axis=0) * scale, of_layer[:-1], of_layer[-1], None

    return tf.add_n(losses) / tf.cast(count, "float32"), gradient


def on_raw_features(captioner: keras.Model, mean: np.ndarray, scale: np.ndarray) -> keras.Model:
    """Return a copy of a captioner trained on (feature - mean) / scale, (D,) each, that takes features as they are: the same probabilities."""
    copy = build(mean.shape, captioner.output_shape[-1])
    copy.set_weights(captioner.get_weights())
    kernel, bias = copy.get_layer("feature_dense").get_weights()  # (D, 256), (256,)
    kernel = kernel / scale[:, None]
    copy.get_layer("feature_dense").set_weights([kernel, bias - mean @ kernel])
    copy.get_layer(
        "feature_dropout"
    ).rate = 0.0  # where it learns on, from its reward: zeros are far from these features' mean
    return copy


class State(NamedTuple):
    """Captions under way, a row each: what the captioner makes of their photographs, the LSTM's states, (R, U) each, and the words (R, T) that it must read again."""

    photograph: np.ndarray
    hidden: np.ndarray
    cell: np.ndarray
    words: np.ndarray


class Stepper:
    """A captioner's arithmetic on plain arrays, one word at a time."""

    def __init__(self, captioner: keras.Model) -> None:
        (embedding,) = weights(captioner, "word_embedding")  # (V, E)
        kernel, self.recurrent, bias = weights(captioner, "lstm")  # (E, 4U), (U, 4U), (4U,)
        self.word_gates = embedding @ kernel + bias  # (V, 4U)
        lstm = captioner.get_layer("lstm")
        self.activation, self.gate = activation(lstm.activation), activation(lstm.recurrent_activation)
        self.feature_dense, self.decoder_dense = dense(captioner, "feature_dense"), dense(captioner, "decoder_dense")
        self.next_word = weights(captioner, "next_word")
        self.padding = None if lstm.return_sequences else self._padding(captioner.inputs[1].shape[1])

    def _padding(self, length: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the LSTM's states (1, U) before a prefix of each number of words from 0 to `length`, after the zeros on its left."""
        states = [(np.zeros((1, len(self.recurrent)), "float32"),) * 2]
        for _ in range(length):
            states.append(self._read(np.zeros(1, int), *states[-1]))
        return states[::-1]

    def start(self, features: np.ndarray) -> State:
        """Return the state before the first word of photographs with these features, float (N, D)."""
        photograph = self.feature_dense(np.asarray(features, "float32"))  # (N, U)
        empty = np.zeros_like(photograph)
        return State(photograph, empty, empty, np.zeros((len(photograph), 0), int))

    def step(self, state: State, words: np.ndarray) -> tuple[np.ndarray, State]:
        """Read one more word (R,) of each caption; return the logits of the next (R, V) and the state after it."""
        photograph, hidden, cell, again = state
        if self.padding:  # one word more is one zero less before the first: all are read anew
            again = np.column_stack((again, words))
            hidden, cell = self.padding[again.shape[1]]
            for earlier in again.T[:-1]:
                hidden, cell = self._read(earlier, hidden, cell)
        hidden, cell = self._read(words, hidden, cell)
        kernel, bias = self.next_word
        logits = self.decoder_dense(photograph + hidden) @ kernel
        logits += bias
        return logits, State(photograph, hidden, cell, again)

    def _read(self, words: np.ndarray, hidden: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the LSTM's states after one more word (R,)."""
        gates = self.word_gates[words] + hidden @ self.recurrent  # (R, 4U), in Keras' order
        enter, forget, candidate, leave = np.split(gates, 4, axis=1)
        cell = self.gate(forget) * cell + self.gate(enter) * self.activation(candidate)
        return self.gate(leave) * self.activation(cell), cell
