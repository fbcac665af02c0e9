"""The attention captioner: a word at a time and all words at once give the same, and it is what numpy makes of its weights."""

import contextlib
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from captioning import captioner_file, decoding, train
from captioning.batches import ByPhotograph, gather
from captioning.models import attention
from captioning.pages import gallery
from captioning.tokenizer import Tokenizer, wrap
from core.errors import InputError
from encoders import features_file
from tests.conftest import assert_same_losses, command, run_in_two_parts

RANDOM = np.random.default_rng(0)
WORDS = ["red", "blue", "dog", "cat", "runs", "sits"]
DESCRIPTIONS = {
    f"photo{number}": [" ".join(RANDOM.choice(WORDS, length)) for length in RANDOM.integers(1, 7, 3)]
    for number in range(7)
}
TOKENIZER = Tokenizer.fit(wrap(text) for texts in DESCRIPTIONS.values() for text in texts)
CELLS, CHANNELS = 6, 10


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    path = tmp_path_factory.mktemp("grid") / "grid.h5"
    names = [*DESCRIPTIONS, "unused"]
    features_file.create_grid(path, names, (2, 3, CHANNELS), {"encoder": "ab" * 32})
    features_file.fill_grid(path, 0, RANDOM.normal(2, 3, (len(names), 2, 3, CHANNELS)))
    features_file.finish_grid(path, path, names)
    return features_file.read_grid(path)


@pytest.fixture(scope="module")
def captions(grid):
    return gather(DESCRIPTIONS, grid, TOKENIZER, ByPhotograph)


@pytest.fixture(scope="module")
def captioner(captions):
    keras.utils.set_random_seed(0)
    recipe = train.Recipe(1, 3, 1e-3, 1e-7, True, None, None, False, "attention", 4)
    model, *_ = attention.prepare(captions, captions, TOKENIZER.vocabulary_size, recipe)
    for weight in model.trainable_weights:  # far from where they begin, biases too
        weight.assign(weight + RANDOM.normal(scale=0.3, size=weight.shape))
    return model


def test_the_principal_components_are_those_of_the_standardised_cells(captions):
    mean, variance, components = attention.principal_components(captions.features, CHANNELS)
    cells = np.asarray(captions.features[:], "float64").reshape(-1, CHANNELS)
    np.testing.assert_allclose(mean, cells.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(variance, cells.var(axis=0), rtol=1e-4)
    turned = (cells - mean) / np.sqrt(variance + 1e-6) @ components
    covariance = turned.T @ turned / len(turned)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-4)
    assert np.all(np.diff(np.diag(covariance)) < 0) and np.diag(covariance).mean() == pytest.approx(1, rel=1e-4)


def test_a_word_at_a_time_gives_what_all_words_at_once_give(captioner, captions):
    (_, grids, owner, words), _ = captions.batch(np.arange(7))
    whole = captioner.predict([grids[owner], words], verbose=0)  # (N, T, V)
    stepper = attention.Stepper(captioner)
    state, looked = stepper.start(grids[owner]), []
    for place, column in enumerate(words.T):
        logits, state = stepper.step(state, column)
        chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        alive = column > 0
        np.testing.assert_allclose(chances[alive], whole[alive, place], rtol=2e-4, atol=1e-6)
        looked.append(state.attention)
    np.testing.assert_allclose(np.sum(looked, axis=2), 1, rtol=1e-5)
    assert np.ptp(looked, axis=2).max() > 0.05  # it looks somewhere

    layer, seen = (
        captioner.get_layer("attention"),
        keras.Model(captioner.inputs, captioner.get_layer("grid_norm").output),
    )
    query = keras.Model(captioner.inputs, captioner.get_layer("query_norm").output).predict(
        [grids[owner], words], verbose=0
    )
    _, scores = layer(query, seen.predict([grids[owner], words], verbose=0), return_attention_scores=True)
    theirs = np.asarray(scores).mean(axis=1)  # (N, T, cells), the mean over heads
    alive = words > 0
    np.testing.assert_allclose(np.stack(looked, axis=1)[alive], theirs[alive], atol=1e-5)


def test_the_trainers_loss_is_of_the_real_next_words_and_smoothed_only_while_it_learns(captioner, captions):
    trainer = train.compiled_trainer(captioner, keras.optimizers.SGD(0.0))
    (inputs, targets), *rest = captions.ordered(7).as_numpy_iterator()
    real, grids, owner, words = inputs
    assert not rest and grids.shape == (7, CELLS, CHANNELS) and len(words) == 21
    whole = captioner.predict([grids[owner], words], verbose=0).reshape(-1, TOKENIZER.vocabulary_size)[real]
    expected = -np.log(whole[np.arange(len(targets)), targets])
    assert trainer.evaluate(captions.ordered(3), verbose=0) == pytest.approx(expected.mean(), rel=1e-4)
    logs = np.log(whole)
    smoothed = 0.9 * expected - 0.1 * logs.mean(axis=1)
    loss = trainer.compute_loss(inputs, tf.constant(targets), trainer(inputs), training=True)
    assert float(loss) == pytest.approx(smoothed.mean(), rel=1e-4)
    weights = RANDOM.normal(size=len(targets)).astype("float32")
    weighed = trainer.compute_loss(inputs, tf.constant(targets), trainer(inputs), tf.constant(weights))
    assert float(weighed) == pytest.approx((expected * weights).mean(), rel=1e-3)


def test_each_caption_comes_once_an_epoch_with_its_own_grid(captions, grid):
    found = []
    for (real, grids, owner, words), targets in captions.shuffled(3, seed=1)(tf.constant(0, tf.int64)):
        rows = real.numpy() // words.shape[1]
        for row in range(len(words)):
            alike = [image for image in grid.ids if np.allclose(grid.of([image])[0], grids[int(owner[row])])]
            found.append((*alike, tuple(targets.numpy()[rows == row])))
    expected = [
        (name, tuple(TOKENIZER.encode(wrap(text))[1:])) for name, texts in DESCRIPTIONS.items() for text in texts
    ]
    assert sorted(found) == sorted(expected) and captions.steps(3) == 3


def test_a_file_loads_alone_and_says_where_it_looked(captioner, captions, tmp_path, capsys):
    captioner_file.write(tmp_path / "attention.keras", captioner, TOKENIZER, {"encoder": "ab" * 32})
    found = captioner_file.read(tmp_path / "attention.keras")
    assert "a captioner of step 2 (attention)" in capsys.readouterr().out
    seen = captions.features[:3].astype("float32")
    words = np.array([[1, 2]] * 3)
    alone = keras.saving.load_model(tmp_path / "attention.keras", safe_mode=True)
    np.testing.assert_allclose(alone([seen, words]), captioner([seen, words]), atol=1e-6)
    for beam in (1, 3):
        for captions_of_one in decoding.alternatives(found.model, captions.features, TOKENIZER, beam):
            for caption in captions_of_one:
                assert caption.attention.shape == (len(caption.words), CELLS)
                assert len(caption.words) <= 20
                assert all(one != other for one, other in zip(caption.words, caption.words[1:], strict=False))
                total = np.log(caption.probabilities).sum()
                if len(caption.words) == 20:
                    assert caption.score == pytest.approx(total / len(caption.words) ** 0.7, rel=1e-3)


def test_one_vector_a_photograph_is_one_cell():
    keras.utils.set_random_seed(0)
    model = attention.build((5,), 9)
    assert [tensor.name for tensor in model.inputs] == ["feature", "words"]
    stepper = attention.Stepper(model)
    logits, state = stepper.step(stepper.start(RANDOM.normal(size=(2, 5))), np.array([1, 2]))
    assert logits.shape == (2, 9) and np.array_equal(state.attention, np.ones((2, 1)))


@pytest.fixture(scope="module")
def steps(tmp_path_factory, world):
    """The drawn world with grids, and a captioner that looks at them."""
    folder = shutil.copytree(world, tmp_path_factory.mktemp("steps") / "world")
    for old in folder.glob("model-ep*"):
        old.unlink()
    (folder / "checkpoint.weights.h5").unlink()
    with contextlib.chdir(folder):
        command("1_data_preprocessor --encoder encoder.keras --grid --cleaning natural")()
        command("2_train_IC_model --captioner attention --epochs 3 --batch-size 2 --out models")()
    return folder


def test_steps_1_to_5_run_with_a_captioner_that_looks(steps, monkeypatch, capsys):
    monkeypatch.chdir(steps)
    command("3_BLEU --model models --out out")()
    assert (steps / "out" / "captions.json").exists()
    command("5_test --model models --encoder encoder.keras --out out --figure out/words.png")()
    printed = capsys.readouterr().out
    assert printed.count("\t") == 8 and "words.png: 8 captions" in printed and Path("out/words.png").exists()
    words = sum(len(line.split("\t")[1].split()) for line in printed.splitlines() if "\t" in line)
    assert Path("out/gallery.html").read_text("utf-8").count('class="looked"') == words
    command("captioning.doctor --model models --encoder encoder.keras --cleaning natural")()
    printed = capsys.readouterr().out
    assert "the captioner was trained on such features" in printed
    assert "the captioner was trained on features of this encoder" in printed


def test_step_5_compares_all_shipped_captioners(steps, world, script, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(steps)
    for name, folder in (("looks", steps / "models"), ("merge", world)):
        (tmp_path / name).mkdir()
        shutil.copy(steps / "encoder.keras", tmp_path / name)
        shutil.copy(next(folder.glob("model-ep*")), tmp_path / name / "captioner.keras")
    (tmp_path / "merge" / "encoder.json").write_text('{"labels": "none"}')
    (tmp_path / "features").mkdir()  # a folder without a captioner
    shutil.copy(steps / "encoder.keras", tmp_path / "features")
    step, served = script("5_test"), []
    monkeypatch.setattr(step, "SHIPPED", tmp_path)
    step.main(["--compare", "--out", "compared", "--figure", "compared/words.png"])
    printed = capsys.readouterr().out
    lines = [line.split("\t") for line in printed.splitlines() if "\t" in line]
    assert [line[:2] for line in lines] == [
        [f"photo{n}.png", name] for n in range(8) for name in ("looks", "merge (labels: none)")
    ]
    page = Path("compared/gallery.html").read_text("utf-8")
    assert (
        f'alt="looks: {lines[0][2]}; merge (labels: none): {lines[1][2] or "no words"}"' in page
        and page.count("<h2>looks</h2>") == 8
    )
    assert "words.png: 8 captions" in printed and "no captioner of yours" not in printed

    monkeypatch.setattr(step.serve, "run", lambda describe, port: served.append(describe))
    step.main(["--compare", "--serve"])
    with Path("Examples/photo0.png").open("rb") as photograph:
        found = served[0](photograph)
        assert "<h2>merge (labels: none)</h2>" in gallery.figure(photograph, "photo0", found)
    assert {name: len(captions) for name, captions in found.items()} == {"looks": 3, "merge (labels: none)": 3}


def test_a_run_goes_on_to_the_same_losses(steps, monkeypatch, capsys):
    monkeypatch.chdir(steps)
    words = "2_train_IC_model --captioner attention --batch-size 2 --epochs 3 --out"
    run_in_two_parts(command(f"{words} parts"), monkeypatch)
    assert "resuming after epoch 2 of 3" in capsys.readouterr().out
    assert_same_losses(steps / "models" / "history.csv", steps / "parts" / "history.csv", 1e-2)
    with pytest.raises(InputError, match="dimensions: 512 there, 3 now"):
        command(f"{words} parts --dimensions 3")()


def test_what_does_not_fit_is_named(steps, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(steps)
    (steps / "grid.h5").rename(tmp_path / "grid.h5")
    with pytest.raises(InputError, match=r"grid\.h5"):
        command("3_BLEU --model models")()
    lists = [Path(f"Flickr8k_text/Flickr_8k.{split}Images.txt") for split in ("train", "dev")]
    data = train.read_data(Path("features.pkl"), Path("descriptions.txt"), *lists, "attention")
    assert data.train.features.shape == (6, 4)
    assert "no grid.h5 beside features.pkl" in capsys.readouterr().out
    data = (tmp_path / "grid.h5").read_bytes()
    (steps / "grid.h5").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"grid\.h5"):
        command("3_BLEU --model models")()
    grid = features_file.read_grid(tmp_path / "grid.h5")
    features_file.create_grid(steps / "grid.h5", grid.ids, (8, 8, 3), {"encoder": "cd" * 32})
    features_file.fill_grid(steps / "grid.h5", 0, grid[:].reshape(-1, 8, 8, 3))
    features_file.finish_grid(steps / "grid.h5", steps / "grid.h5", grid.ids)
    with pytest.raises(InputError, match=r"expected the features of the encoder .* in grid\.h5"):
        command("3_BLEU --model models")()
    (steps / "grid.h5").write_bytes(data)
    command("encoders.make --network resnet18 --stem small --size 16 --out other.keras")()
    with pytest.raises(InputError, match="expected grids of 64 cells of 3 numbers, which the captioner was trained on"):
        command("5_test --model models --encoder other.keras")()
    with pytest.raises(InputError, match="expected --captioner merge or attention, found watch"):
        command("2_train_IC_model --captioner watch")()
