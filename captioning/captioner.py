"""The captioner: a "merge" model (Tanti et al. 2018, arXiv:1708.02043) of a photograph's feature and the words so far.

The LSTM never sees the photograph: its states are added to the feature's projection afterwards. So it runs once over a whole caption, and
all next words are predicted at once, with the arithmetic of one prediction for each prefix.
"""

import keras
import numpy as np
from keras import layers, ops

UNITS = 256


def build(dimension: int, vocabulary_size: int) -> keras.Model:
    """Return the captioner: what word comes next, after each of the words.

    Inputs `feature`, float32 (N, dimension), and `words`, int32 (N, T) with zeros on the right; output, the probabilities of each next
    word, float32 (N, T, vocabulary_size) in any precision. Those after a zero mean nothing.
    """
    feature = keras.Input((dimension,), name="feature")
    seen = layers.Dropout(0.5, name="feature_dropout")(feature)
    seen = layers.Dense(UNITS, activation="relu", name="feature_dense")(seen)  # (N, 256)
    words = keras.Input((None,), dtype="int32", name="words")
    read = layers.Embedding(vocabulary_size, UNITS, name="word_embedding")(words)  # (N, T, 256)
    read = layers.Dropout(0.5, name="word_dropout")(read)
    # Zeros are on the right, where they cannot reach a real word: without a mask the LSTM may use cuDNN.
    read = layers.LSTM(UNITS, return_sequences=True, name="lstm")(read)  # (N, T, 256)
    merged = layers.Add(name="merge")([ops.expand_dims(seen, 1), read])  # (N, T, 256)
    decoded = layers.Dense(UNITS, activation="relu", name="decoder_dense")(merged)
    next_word = layers.Dense(vocabulary_size, activation="softmax", dtype="float32", name="next_word")(decoded)
    return keras.Model([feature, words], next_word, name="captioner")


def build_trainer(captioner: keras.Model) -> keras.Model:
    """Return a model that shares the captioner's layers and predicts only the real next words.

    Inputs `real_tokens`, int32 (R,), the positions of real words in the flattened `words`, then the captioner's own; output (R, V). The
    vocabulary layer, which costs most, skips the padding; and since Keras weighs each batch by the length of the first input, `loss` and
    `val_loss` are exact averages over next words.
    """
    real_tokens = keras.Input((), dtype="int32", name="real_tokens")
    merged = captioner.get_layer("merge").output  # (N, T, 256)
    merged = ops.take(ops.reshape(merged, (-1, UNITS)), real_tokens, axis=0)  # (R, 256)
    next_word = captioner.get_layer("next_word")(captioner.get_layer("decoder_dense")(merged))  # (R, V)
    return keras.Model([real_tokens, *captioner.inputs], next_word, name="trainer")


def on_raw_features(captioner: keras.Model, mean: np.ndarray, deviation: np.ndarray) -> keras.Model:
    """Return a copy of a captioner trained on (feature - mean) / deviation, (D,) each, that takes features as they are: the same probabilities."""
    copy = build(len(mean), captioner.output_shape[-1])
    copy.set_weights(captioner.get_weights())
    kernel, bias = copy.get_layer("feature_dense").get_weights()  # (D, 256), (256,)
    kernel = kernel / deviation[:, None]
    copy.get_layer("feature_dense").set_weights([kernel, bias - mean @ kernel])
    return copy


def needs(captioner: keras.Model, epochs: int) -> tuple[float, float]:
    """Foresee the bytes of disk and of memory that step 2 takes at most.

    On disk a captioner for each epoch and, twice for a moment, the checkpoint of the weights, of their average and of Adam's two. The memory
    is the 1 GB measured on Flickr8k.
    """
    return 4 * captioner.count_params() * (epochs + 2 * 4), 1e9
