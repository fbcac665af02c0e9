"""What the original does with prefixes, one at a time: re-written to compare with, and to measure against.

Each prefix of a caption is an example of its own, padded with zeros on the left, and its next word a one-hot vector.
"""

from collections.abc import Iterator, Mapping, Sequence

import keras
import numpy as np
from keras import layers

from captioning.tokenizer import END, START, Tokenizer, wrap

Example = tuple[np.ndarray, np.ndarray, np.ndarray]  # feature (D,), prefix (maximum length,), one-hot next word (V,)


def build(dimension: int, vocabulary_size: int, maximum_length: int) -> keras.Model:
    """Return the original's model: feature (N, D) and a left-padded prefix (N, maximum length) -> the next word (N, V)."""
    feature = keras.Input((dimension,))
    seen = layers.Dropout(0.5)(feature)
    seen = layers.Dense(256, activation="relu", name="feature_dense")(seen)
    prefix = keras.Input((maximum_length,))
    read = layers.Embedding(vocabulary_size, 256, mask_zero=True, name="word_embedding")(prefix)
    read = layers.Dropout(0.5)(read)
    read = layers.LSTM(256, use_cudnn=False, name="lstm")(read)  # cuDNN takes no zeros on the left
    decoded = layers.Dense(256, activation="relu", name="decoder_dense")(layers.add([seen, read]))
    next_word = layers.Dense(vocabulary_size, activation="softmax", name="next_word")(decoded)
    model = keras.Model([feature, prefix], next_word)
    model.compile(keras.optimizers.Adam(0.01, epsilon=0.1), "categorical_crossentropy")
    return model


def examples(
    descriptions: Mapping[str, Sequence[str]], features: Mapping[str, np.ndarray], tokenizer: Tokenizer
) -> Iterator[Example]:
    """Yield an example for each next word of each description."""
    for image, texts in descriptions.items():
        for words in (tokenizer.encode(wrap(text)) for text in texts):
            for known in range(1, len(words)):
                yield (
                    features[image][0],
                    pad(words[:known], tokenizer.maximum_length),
                    one_hot(words[known], tokenizer.vocabulary_size),
                )


def stack(few: Sequence[Example]) -> tuple[list[np.ndarray], np.ndarray]:
    """Return examples as the model's inputs and targets."""
    features, prefixes, targets = map(np.array, zip(*few, strict=True))
    return [features, prefixes], targets


def pad(words: Sequence[int], length: int) -> np.ndarray:
    """Return the last `length` words with zeros before them, as `pad_sequences` does."""
    kept = words[-length:]
    return np.array([0] * (length - len(kept)) + list(kept), "int32")


def one_hot(word: int, vocabulary_size: int) -> np.ndarray:
    """Return the word as float64, which is what `to_categorical` gives since Keras 3."""
    return np.eye(1, vocabulary_size, word)[0]


def generate(model: keras.Model, tokenizer: Tokenizer, feature: np.ndarray) -> str:
    """Return the greedy caption of a feature (1, D) with its start token, and its end token if it comes in time."""
    text = START
    for _ in range(tokenizer.maximum_length):
        prefix = pad(tokenizer.encode(text), tokenizer.maximum_length)
        likeliest = model.predict([feature, prefix[None]], verbose=0).argmax()
        if likeliest == 0:
            break
        text += " " + tokenizer.words[likeliest]
        if tokenizer.words[likeliest] == END:
            break
    return text


def copy_weights(captioner: keras.Model, original: keras.Model) -> None:
    """Give the original's model the weights of our captioner."""
    for layer in original.layers:
        if layer.weights:
            layer.set_weights(captioner.get_layer(layer.name).get_weights())
