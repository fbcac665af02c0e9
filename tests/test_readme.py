"""What people are told to type can be typed: each command's settings exist, each target of make too, and each file linked is there."""

import importlib
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from core import settings

ROOT = Path(__file__).parents[1]
OTHERS = ("pytest", "pip", "venv")  # modules of other people
README = (ROOT / "README.md").read_text("utf-8")


def commands(text: str) -> list[str]:
    """The commands in a text's code fences, code spans and indented lines that start with `python`; a backslash goes on."""
    lines = re.findall(r"^ *(?:\.venv/bin/)?(python .+)$", text.replace("\\\n", " "), re.MULTILINE)
    found = lines + re.findall(r"`(python [^`\n]+)`", text)
    return list(
        dict.fromkeys(re.split(" {3,}", command)[0] for command in found)
    )  # what stands further right explains it


def check(command: str, script: Callable[[str], ModuleType]) -> None:
    """Parse a command's words with the settings of the script or module that it runs.

    :raises SystemExit: an option is unknown or has a wrong value.
    """
    _, *words = shlex.split(command, comments=True)
    if words[0] == "-m":
        _, name, *words = words
        if name in OTHERS:
            return
        package = (ROOT / name.replace(".", "/")).is_dir()
        module = importlib.import_module(f"{name}.__main__" if package else name)
    else:
        name, *words = words
        module = script(name.removesuffix(".py"))
    settings.from_command_line(module.Settings, [word for word in words if not re.fullmatch(r"\.\.\.|\[.*\]", word)])


TEXTS = {
    str(path.relative_to(ROOT)): path.read_text("utf-8")
    for path in (ROOT / "README.md", ROOT / "Pre-trained" / "README.md", *sorted(ROOT.glob("[1-9]_*.py")))
}
TEXTS |= {
    str(path.relative_to(ROOT)): path.read_text("utf-8")
    for folder in ("captioning", "pretext", "simclr", "jigsaw", "demo", "benchmarks", "figures")
    for path in sorted((ROOT / folder).glob("*.py"))
    if "settings.run(main)" in path.read_text("utf-8")
}


@pytest.mark.parametrize("name", TEXTS)
def test_commands_parse(name, script):
    found = commands(TEXTS[name] if name.endswith(".md") else TEXTS[name].split('"""')[1])
    assert found, "no command was found, not even how to run it"
    for command in found:
        check(command, script)


def test_the_readme_runs_every_step(script):
    named = {command.split()[1] for command in commands(README)}
    assert {path.name for path in ROOT.glob("[1-9]_*.py")} <= named


def test_a_wrong_command_is_found(script):
    with pytest.raises(SystemExit):
        check("python 4_tokenizer.py --descriptoins x", script)


def make(*words: str) -> str:
    return subprocess.run(["make", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_makes_targets_are_in_its_help():
    listed = {line.split()[0] for line in make("help").splitlines()}
    named = set(re.findall(r"^(?:\w+=\S+ )*make ([a-z]\w+)|`(?:\w+=\S+ )*make ([a-z]\w+)", README, re.MULTILINE))
    assert {"help", "lint", "demo", "test", "flickr8k"} <= listed
    assert {target for pair in named for target in pair if target} <= listed


@pytest.mark.parametrize(
    "form", [("Flicker8k_Dataset", "Flickr8k_text/Flickr8k.token.txt"), ("Images", "captions.txt")]
)
def test_make_flickr8k_runs_every_step_on_either_form(tmp_path, script, form):
    (tmp_path / form[0]).mkdir()
    (tmp_path / form[1]).parent.mkdir(exist_ok=True)
    (tmp_path / form[1]).touch()
    printed = make("--dry-run", "flickr8k", f"DIR={tmp_path}")
    found = [re.sub(r"[;)].*", "", command) for command in commands(printed)]
    for command in found:
        check(command, script)
    steps = [re.search(r"\b(\d)_\w+\.py", command) for command in found]
    assert [step[1] for step in steps if step] == ["1", "2", "3", "4", "5"]
    assert all(str(tmp_path / name) in printed for name in form)


def test_files_that_the_readme_names_are_there():
    named = set(re.findall(r"`([\w./-]+\.(?:py|md|cff|yml|toml))`", README))
    missing = {name for name in named if not (ROOT / name).exists() and not any(ROOT.glob(f"*/{name}"))}
    assert not missing
