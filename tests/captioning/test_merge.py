"""The captioner predicts, all at once, what the original predicts one prefix at a time; its loss is the average over next words."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from captioning.batches import gather
from captioning.models import adam, merge
from captioning.tokenizer import Tokenizer, wrap
from tests.original import captioning as original

DIMENSION = 6
DESCRIPTIONS = {
    "one": ["dog runs", "brown dog runs through tall grass"],
    "two": ["", "child plays with red ball on grass near dog"],
    "three": ["ball"],
}
LONG_AND_ODD = {
    "four": ["dog plays with red ball on tall grass near child with brown dog in grass on red grass"],  # too long
    "five": ["purple dog flies over grass", "zebra"],  # words outside the vocabulary
}
RANDOM = np.random.default_rng(3)
FEATURES = {name: RANDOM.normal(size=(1, DIMENSION)).astype("float32") for name in [*DESCRIPTIONS, *LONG_AND_ODD]}
TOKENIZER = Tokenizer.fit(wrap(text) for texts in DESCRIPTIONS.values() for text in texts)


@pytest.fixture(scope="module")
def models():
    """The captioner and the original's model with the same weights, grown so that predictions are far from uniform."""
    keras.utils.set_random_seed(5)
    ours = merge.build((DIMENSION,), TOKENIZER.vocabulary_size)
    ours.set_weights([weight * 3 for weight in ours.get_weights()])
    theirs = original.build(DIMENSION, TOKENIZER.vocabulary_size, TOKENIZER.maximum_length)
    original.copy_weights(ours, theirs)
    return ours, theirs


def compile_trainer(ours):
    trainer = merge.trainer(ours)
    trainer.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    return trainer


def foretell(ours, inputs):
    """Return the probabilities that the trainer learns by."""
    return ours.get_layer("next_word")(merge.trainer(ours).predict_on_batch(inputs))


@pytest.mark.parametrize("descriptions", [DESCRIPTIONS, LONG_AND_ODD], ids=["train", "dev"])
def test_next_words_are_those_of_the_original(models, descriptions):
    ours, theirs = models
    inputs, targets = original.stack(list(original.examples(descriptions, FEATURES, TOKENIZER)))
    expected = theirs.predict(inputs, verbose=0)
    captions = gather(descriptions, FEATURES, TOKENIZER)
    (inputs, words) = captions.batch(np.arange(len(captions.start)))
    found = foretell(ours, inputs)
    assert captions.next_words == len(words) == len(targets)
    # rows that foretell the tail of a long caption come behind it, as its prefixes do: the order is the same
    np.testing.assert_array_equal(words, targets.argmax(axis=1))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 0.1, "the comparison must be able to fail"


def test_the_trainer_predicts_what_the_captioner_does(models):
    ours, _ = models
    (places, feature, words), _ = gather(DESCRIPTIONS, FEATURES, TOKENIZER).batch(np.arange(4))
    whole = ours.predict_on_batch([feature, words])
    assert whole.shape == (4, words.shape[1], TOKENIZER.vocabulary_size)
    found = foretell(ours, [places, feature, words])
    np.testing.assert_allclose(found, whole.reshape(-1, TOKENIZER.vocabulary_size)[places], atol=1e-5)


def test_loss_and_val_loss_are_averages_over_next_words(models):
    ours, theirs = models
    for layer in ours.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0  # so that the training loss can be computed by hand; the learning rate is 0 too
    trainer = compile_trainer(ours)
    train, dev = (gather(part, FEATURES, TOKENIZER) for part in (DESCRIPTIONS, LONG_AND_ODD))
    history = trainer.fit(train.ordered(2), validation_data=dev.ordered(3), verbose=0, shuffle=False).history

    def by_hand(descriptions):
        inputs, targets = original.stack(list(original.examples(descriptions, FEATURES, TOKENIZER)))
        return -np.log((theirs.predict(inputs, verbose=0) * targets).sum(axis=1)).mean()

    assert history["loss"][0] == pytest.approx(by_hand(DESCRIPTIONS), abs=1e-5)
    assert history["val_loss"][0] == pytest.approx(by_hand(LONG_AND_ODD), abs=1e-5)


@pytest.mark.parametrize("count", [1, 3, 10])
def test_crossentropy_and_its_gradients_are_those_of_keras(count):
    decoded, kernel, bias = (tf.constant(RANDOM.normal(size=s), "float32") for s in [(count, 5), (5, 11), (11,)])
    words = tf.constant(RANDOM.integers(11, size=count), "int32")

    def keras_own(decoded, kernel, bias, words):
        logits = decoded @ kernel + bias
        return tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(words, logits, from_logits=True))

    found, expected = [], []
    for loss, results in ((merge.crossentropy, found), (keras_own, expected)):
        with tf.GradientTape() as tape:
            tape.watch([decoded, kernel, bias])
            results += [3 * loss(decoded, kernel, bias, words)]
        results += tape.gradient(results[0], [decoded, kernel, bias])
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_next_word_that_is_all_but_impossible_still_teaches():
    decoded, kernel, bias = tf.constant([[1.0]]), tf.constant([[0.0, 500.0]]), tf.zeros(2)
    with tf.GradientTape() as tape:
        tape.watch(bias)
        loss = merge.crossentropy(decoded, kernel, bias, tf.constant([0]))
    assert 87 < loss < 88
    np.testing.assert_allclose(tape.gradient(loss, bias), [-1, 1])


@pytest.mark.parametrize("wrap", [lambda optimizer: optimizer, keras.optimizers.LossScaleOptimizer])
def test_a_compiled_step_of_adam_is_that_of_keras_on_whole_gradients(wrap):
    rows, shape = tf.constant([5, 0, 5, 2]), tf.constant([7, 3])  # of a table: the first is there twice
    sparse = [
        (tf.IndexedSlices(tf.constant(RANDOM.normal(size=(4, 3)), "float32"), rows, shape), tf.ones((3, 2)) * step)
        for step in range(3)
    ]
    whole = [(tf.convert_to_tensor(table), kernel) for table, kernel in sparse]

    def reach(kind, gradients):
        optimizer = wrap(kind(0.006, epsilon=3e-5, use_ema=True, ema_momentum=0.9))
        weights = [keras.Variable(np.ones(shape), dtype="float32") for shape in ((7, 3), (3, 2))]
        optimizer.build(weights)
        step = tf.function(lambda pair: optimizer.apply_gradients(zip(pair, weights, strict=True)))
        for pair in gradients:
            step(pair)
        return [*weights, *optimizer.variables]

    for ours, theirs in zip(reach(adam.Adam, sparse), reach(keras.optimizers.Adam, whole), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)


def test_a_saved_captioner_holds_nothing_of_the_trainer(models, tmp_path):
    ours, _ = models
    merge.trainer(ours)
    ours.save(tmp_path / "captioner.keras")
    again = keras.saving.load_model(tmp_path / "captioner.keras", safe_mode=True)
    assert [tensor.name for tensor in again.inputs] == ["feature", "words"]
    (_, feature, words), _ = gather(DESCRIPTIONS, FEATURES, TOKENIZER).batch(np.arange(4))
    np.testing.assert_allclose(
        again.predict_on_batch([feature, words]), ours.predict_on_batch([feature, words]), atol=1e-6
    )


def test_a_captioner_of_standardised_features_takes_them_as_they_are(models):
    ours, _ = models
    captions = gather(DESCRIPTIONS, FEATURES, TOKENIZER)
    mean, scale = captions.features.mean(axis=0), captions.features.std(axis=0) + 1e-6
    standardised = captions.standardised(mean, scale)
    np.testing.assert_allclose(standardised.features.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(standardised.features.std(axis=0), 1, atol=1e-3)
    raw = merge.on_raw_features(ours, mean, scale)
    found, expected = (
        model.predict_on_batch(list(part.batch(np.arange(4))[0][1:]))
        for model, part in ((raw, captions), (ours, standardised))
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_probabilities_are_float32_in_mixed_precision():
    policy = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_float16")
        ours = merge.build((DIMENSION,), TOKENIZER.vocabulary_size)
    finally:
        keras.config.set_dtype_policy(policy)
    assert ours.get_layer("lstm").compute_dtype == "float16"
    history = (
        compile_trainer(ours)
        .fit(gather(DESCRIPTIONS, FEATURES, TOKENIZER).ordered(2), verbose=0, shuffle=False)
        .history
    )
    assert ours.output.dtype == "float32"
    assert np.isfinite(history["loss"]).all()
