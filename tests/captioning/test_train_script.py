"""Step 2 on a toy data set: what it writes, the same again from the same seed, and going on after an interruption."""

import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from captioning import captioner_file, train
from captioning.captions import write_descriptions
from core import devices, disk
from core.errors import InputError
from encoders import features_file
from tests.conftest import assert_same_losses

OPTIONS = ["--epochs", "4", "--batch-size", "4", "--learning-rate", "0.01", "--seed", "3"]


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Features, descriptions and lists of 12 photographs, where the scripts look for them."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    names = [f"photo{number:02d}" for number in range(12)]
    features_file.write("features.pkl", {name: random.normal(size=(1, 5)).astype("float32") for name in names})
    features_file.write_origin("features.pkl", {"encoder": "abc", "dimension": 5})
    words = ["red", "dog", "runs", "ball", "grass"]
    texts = {name: [" ".join(random.choice(words, length)) for length in (2, 5)] for name in names}
    write_descriptions("descriptions.txt", texts)
    for split, part in (("train", names[:9]), ("dev", names[9:])):
        disk.write_text(
            tmp_path / f"Flickr8k_text/Flickr_8k.{split}Images.txt", "".join(f"{name}.jpg\n" for name in part)
        )
    return tmp_path


def saved(folder):
    return sorted(path.name for path in folder.glob("model-*.keras"))


def test_step_2_writes_its_best_captioners_and_the_history(data, script, capsys):
    script("2_train_IC_model").main(OPTIONS)
    losses = [line.split(",") for line in (data / "history.csv").read_text().splitlines()]
    assert losses[0] == ["epoch", "loss", "val_loss"]
    assert len(losses) == 5
    lowest, expected = float("inf"), []
    for epoch, loss, val_loss in ((int(line[0]), *map(float, line[1:])) for line in losses[1:]):
        if val_loss < lowest:
            lowest = val_loss
            expected.append(f"model-ep{epoch:03d}-loss{loss:.3f}-val_loss{val_loss:.3f}.keras")
    assert saved(data) == expected
    assert f"wrote {expected[-1]}: val_loss {lowest:.3f}, the lowest of 4 epochs" in capsys.readouterr().out
    captioner = captioner_file.read(data)
    assert captioner.origin["encoder"] == "abc"
    assert captioner.model.output_shape[-1] == captioner.tokenizer.vocabulary_size
    assert captioner.tokenizer.maximum_length == 7


def test_the_same_seed_gives_the_same_captioner_also_after_an_interruption(data, script, capsys):
    main = script("2_train_IC_model").main
    main([*OPTIONS, "--out", "whole"])
    main([*OPTIONS, "--out", "parts", "--epochs", "2"])
    main([*OPTIONS, "--out", "parts"])
    assert "resuming after epoch 2 of 4" in capsys.readouterr().out
    whole, parts = data / "whole", data / "parts"
    assert_same_losses(whole / "history.csv", parts / "history.csv")
    assert len(saved(whole)) == len(saved(parts))
    for one, other in zip(*(captioner_file.read(folder).model.get_weights() for folder in (whole, parts)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("average", [[], ["--no-average"]])
def test_what_is_written_is_what_val_loss_judged(data, script, average):
    script("2_train_IC_model").main([*OPTIONS, "--epochs", "2", *average])
    lowest = min(float(line.split(",")[2]) for line in (data / "history.csv").read_text().splitlines()[1:])
    model = captioner_file.read(data).model
    lists = (f"Flickr8k_text/Flickr_8k.{split}Images.txt" for split in ("train", "dev"))
    dev = train.read_data("features.pkl", "descriptions.txt", *map(Path, lists)).dev
    (_, feature, words), foretold = dev.batch(np.arange(len(dev.start)))
    chances = model.predict([feature, words], verbose=0)[words > 0]
    assert -np.log(chances[np.arange(len(foretold)), foretold]).mean() == pytest.approx(lowest, abs=1e-5)


@pytest.mark.parametrize(("batch", "same"), [("18", True), ("9", False)])
def test_the_average_is_over_an_epoch_so_that_of_a_single_step_is_the_weights(data, script, batch, same):
    options = [*OPTIONS, "--epochs", "1", "--batch-size", batch]
    for name in ("average", "no-average"):
        script("2_train_IC_model").main([*options, f"--{name}", "--out", name])
    one, other = (captioner_file.read(data / name).model.get_weights() for name in ("average", "no-average"))
    assert all(np.allclose(*pair, rtol=1e-4, atol=1e-5) for pair in zip(one, other, strict=True)) == same


def test_fewer_epochs_than_are_done_give_the_captioner_of_those(data, script, capsys):
    main = script("2_train_IC_model").main
    main(OPTIONS)
    main([*OPTIONS, "--epochs", "1"])
    first = next(name for name in saved(data) if name.startswith("model-ep001"))
    assert f"wrote {first}: val_loss {first[-11:-6]}, the lowest of 1 epochs" in capsys.readouterr().out


def test_patience_and_reduce_after_are_settings(data, script):
    script("2_train_IC_model").main([*OPTIONS, "--epochs", "30", "--patience", "3", "--reduce-after", "1"])
    lines = (data / "history.csv").read_text().splitlines()
    assert lines[0] == "epoch,loss,val_loss,learning_rate"
    assert len(lines) < 31
    assert float(lines[-1].split(",")[3]) < float(lines[1].split(",")[3])


def test_other_data_or_settings_do_not_go_on(data, script):
    main = script("2_train_IC_model").main
    main([*OPTIONS, "--epochs", "1"])
    with pytest.raises(InputError, match="batch size: 4 there, 5 now"):
        main([*OPTIONS, "--batch-size", "5"])
    features_file.write("features.pkl", {name: value + 1 for name, value in features_file.read("features.pkl").items()})
    with pytest.raises(InputError, match=r"train data: .*\n.*dev data: "):
        main(OPTIONS)


def test_a_photograph_without_a_feature_is_named(data, script):
    features = features_file.read("features.pkl")
    features_file.write("features.pkl", {name: features[name] for name in list(features)[1:]})
    with pytest.raises(InputError, match=re.escape("photo00")):
        script("2_train_IC_model").main(OPTIONS)


@pytest.mark.parametrize("dimension", [3, 300])
def test_standardised_features_are_equally_long_whatever_the_encoder(data, monkeypatch, dimension):
    seen, random, fit = [], np.random.default_rng(0), train.training.fit
    stored = {
        name: random.normal(5, 9, (1, dimension)).astype("float32") for name in features_file.read("features.pkl")
    }
    features_file.write("features.pkl", stored)
    lists = (data / f"Flickr8k_text/Flickr_8k.{split}Images.txt" for split in ("train", "dev"))
    training_data = train.read_data(data / "features.pkl", data / "descriptions.txt", *lists)

    def watch(trainer, batches, **others):
        seen.extend(feature for (_, features, _), _ in batches(0) for feature in features.numpy())
        return fit(trainer, batches, **others)

    monkeypatch.setattr(train.training, "fit", watch)
    recipe = train.Recipe(1, 4, 1e-3, 1e-7, average=False, patience=None, reduce_after=None, standardise=True)
    train.train(training_data, data, recipe, seed=0)
    found = np.unique(seen, axis=0)  # a photograph has two captions
    assert found.shape == (9, dimension)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(found.std(axis=0), np.sqrt(32 / dimension), rtol=1e-4)
    np.testing.assert_allclose((found**2).sum(axis=1).mean(), 32, rtol=1e-4)


@pytest.mark.parametrize("gpus", [[], ["a GPU"]])
def test_a_gpu_is_told_to_compute_the_same_each_time(monkeypatch, gpus):
    told = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: told.append("a GPU"))
    devices.prepare()
    assert told == gpus


def test_a_number_that_never_varies_in_train_is_not_blown_up_in_dev(data, script):
    features = features_file.read("features.pkl").items()  # with a dead unit that answers to the dev photographs alone
    dead = {name: np.append(value, [[np.float32(name >= "photo09")]], axis=1) for name, value in features}
    features_file.write("features.pkl", dead)
    script("2_train_IC_model").main([*OPTIONS, "--epochs", "1", "--standardise"])
    (name,) = saved(data)
    assert float(name.split("val_loss")[1].removesuffix(".keras")) < 3
