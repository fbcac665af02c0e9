"""The drawn world: its layout, its bytes, captions that are true, combinations kept out of train; and the demo's commands."""

import importlib
import re
from pathlib import Path
from random import Random

import pytest
from PIL import Image

from core.errors import InputError
from demo import __main__ as demo
from demo import scenes
from demo.drawing import COLOURS
from demo.pictures import layout, picture
from demo.sentences import caption
from demo.world import ACTIONS, LIGHTS, PLACES, RELATIONS, SUBJECTS, THINGS, Scene
from tests import test_readme

COUNT = 40


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("world")
    scenes.main(["--out", str(out), "--count", str(COUNT)])
    return out


def some_scenes() -> list[Scene]:
    return [scene for split in scenes.splits(1000, 1).values() for scene in split.values()]


def names(world: Path, split: str) -> list[str]:
    return (world / "Flickr8k_text" / f"Flickr_8k.{split}Images.txt").read_text().splitlines()


def phrases(table: str) -> set[str]:
    """All forms of all wordings: `dog/dogs, puppy/puppies` -> dog, dogs, puppy, puppies."""
    return set(re.split(r", |/", table))


def test_files_lie_as_in_flickr8k(world):
    listed = [name for split in ("train", "dev", "test") for name in names(world, split)]
    assert [len(names(world, split)) for split in ("train", "dev", "test")] == [32, 4, 4]
    assert len(set(listed)) == COUNT
    assert sorted(listed) == sorted(path.name for path in (world / "Flicker8k_Dataset").iterdir())
    for path in (world / "Flicker8k_Dataset").iterdir():
        with Image.open(path) as image:
            assert image.format == "JPEG"
            assert image.mode == "RGB"
            assert 100 < min(image.size) <= max(image.size) <= 160


def test_five_different_captions_each(world):
    lines = (world / "Flickr8k_text" / "Flickr8k.token.txt").read_text().splitlines()
    written: dict[str, set[str]] = {}
    for line in lines:
        name, text = re.fullmatch(r"(scene\d{4}\.jpg)#[0-4]\t([A-Z][a-z ,]+ \.)", line).groups()
        assert "  " not in text
        written.setdefault(name, set()).add(text)
    assert len(lines) == 5 * COUNT
    assert all(len(texts) == 5 for texts in written.values())


def test_same_seed_same_bytes(world, tmp_path):
    scenes.main(["--out", str(tmp_path / "again"), "--count", str(COUNT)])
    scenes.main(["--out", str(tmp_path / "other"), "--count", "10", "--seed", "1"])
    files = [path for path in world.rglob("*") if path.is_file()]
    assert all(path.read_bytes() == (tmp_path / "again" / path.relative_to(world)).read_bytes() for path in files)
    first = Path("Flicker8k_Dataset") / "scene0001.jpg"
    assert (world / first).read_bytes() != (tmp_path / "other" / first).read_bytes()


def test_train_never_shows_the_held_out_combinations_but_all_their_parts():
    splits = {split: list(named.values()) for split, named in scenes.splits(400, 0).items()}
    shown = {(scene.subject, scene.colour, scene.place) for scene in splits["train"]}
    for split in ("dev", "test"):
        new = [(scene.subject, scene.colour, scene.place) for scene in splits[split] if scene.held_out]
        assert len(new) == len(splits[split]) / 2
        assert not shown & set(new)
        for part in range(3):
            assert {combination[part] for combination in new} <= {combination[part] for combination in shown}


def test_every_word_of_a_caption_is_true_of_the_scene():
    small_words = {"a", "an", "the", "is", "are", "there", "in", "wearing", "of", ",", "."}
    number_words = {1: set(), 2: {"two", "pair", "couple"}, 3: {"three", "group"}}
    for index, scene in enumerate(some_scenes()):
        subject, thing = SUBJECTS[scene.subject], THINGS.get(scene.thing) or SUBJECTS.get(scene.thing)
        place, relation = PLACES[scene.place], RELATIONS.get(scene.relation, "")
        tables = [subject.names, subject.clothes, thing.names if thing else "", ACTIONS[scene.action].verbs]
        tables += [*place, relation, LIGHTS[scene.light]]
        true = {word for table in tables for phrase in phrases(table) for word in phrase.split()}
        true |= small_words | number_words[scene.number] | {scene.colour, scene.thing_colour}
        text = caption(scene, Random(index)).lower()
        assert set(text.split()) <= true, (scene, text)
        assert phrases(subject.names) & {" ".join(text.split()[a:b]) for a in range(9) for b in range(a, 10)}, text
        for article, word in re.findall(r"\b(an?) (\w+)", text):
            assert (article == "an") == (word[0] in "aeiou"), text


def test_verbs_agree_with_numbers():
    for index, scene in enumerate(some_scenes()):
        text = caption(scene, Random(index)).lower()
        assert not re.search(r"\bis\b" if scene.number > 1 else r"\bare\b", text), (scene, text)


def test_everything_stands_inside_the_picture():
    random = Random(0)
    for scene in some_scenes():
        spots, thing = layout(scene, 480, 384, random.choice([1, -1]), random)
        assert len(spots) == scene.number
        for spot in (*spots, *([thing] if thing else [])):
            assert 0 < spot.x < 480, (scene, spot)
            assert 0 < spot.floor - spot.lift - spot.size / 2 < 384, (scene, spot)


def test_a_picture_shows_its_colour():
    """The ball is where the colour is, and nowhere else in a world of snow."""
    for name in ("red", "green", "purple"):
        scene = Scene("ball", name, 3, "lie", "snow", "sunny")
        pixels = picture(scene, Random(0)).resize((40, 40)).get_flattened_data()
        near = [sum(abs(a - b) for a, b in zip(pixel, COLOURS[name], strict=True)) < 120 for pixel in pixels]
        assert 0.02 < sum(near) / len(near) < 0.3


def test_too_few_pictures_is_an_error(tmp_path):
    with pytest.raises(InputError, match="found 3"):
        scenes.main(["--out", str(tmp_path), "--count", "3"])


def test_the_demos_commands_name_settings_that_exist(script):
    for full in (False, True):
        for words in demo.commands(Path("demo-run"), full):
            test_readme.check(" ".join(words), script)
    told = test_readme.commands(demo.CLOSING)
    assert len(told) == 6
    for command in told:
        test_readme.check(command, script)


QUICK = {  # what is added to each command, so that all take seconds
    "demo.scenes": "--count 20",
    "encoders.make": "--size 16",
    "simclr.main": "--width 4 --size 16 --stored 16 --encoder-size 16 --batch-size 8 --epochs 1 --no-winograd",
    "jigsaw.to_hdf5": "--size 32",
    "jigsaw.main": "--width 4 --size 32 --batch-size 4 --epochs 1 --no-winograd",
    "2_train_IC_model.py": "--epochs 1",
    "6_ablation.py": "--epochs 1 --seeds 1",
}


def test_the_demos_commands_run_one_after_the_other(script, tmp_path, monkeypatch, capsys):
    def run(words: list[str]) -> None:
        name = words[2] if words[1] == "-m" else words[1]
        module = importlib.import_module(name) if words[1] == "-m" else script(name.removesuffix(".py"))
        module.main([*words[words.index(name) + 1 :], *QUICK.get(name, "").split()])

    monkeypatch.setattr(demo, "run", run)
    demo.main(["--out", str(tmp_path), "--full"])
    told = re.findall(rf"^    {tmp_path}/(\S+)", capsys.readouterr().out, re.MULTILINE)
    assert [(tmp_path / name.rstrip(",")).exists() for name in told] == [True] * 4
    table = (tmp_path / "ablation" / "ablation.csv").read_text("utf-8").splitlines()
    assert table[0] == "about,measure,one caption for all,untrained,simclr,jigsaw,a person"


def test_the_demo_stops_at_a_command_that_fails(capfd):
    demo.run(["python", "-c", "print(2)"])
    assert "\n$ python -c 'print(2)'\n2\n" in capfd.readouterr().out
    with pytest.raises(InputError, match="status 7"):
        demo.run(["python", "-c", "exit(7)"])
