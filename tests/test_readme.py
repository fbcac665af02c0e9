"""README, docs and recipes are true: each command's settings exist, each target of make too, and each link leads somewhere."""

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


PAGES = [*sorted(ROOT.glob("*.md")), *(ROOT / name / "README.md" for name in ("Examples", "Pre-trained"))]
PAGES += sorted(ROOT.glob("docs/*.md"))
RECIPES = sorted(ROOT.glob("docs/recipes/*.sh"))
FOLDERS = ("encoders", "captioning", "pretext", "simclr", "jigsaw", "demo", "benchmarks", "docs")
PROGRAMS = [
    *sorted(ROOT.glob("[1-9]_*.py")),
    *(
        path
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "settings.run(main)" in path.read_text("utf-8")
    ),
]
TEXTS = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in (*PAGES, *RECIPES, *PROGRAMS)}
SILENT = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/troubleshooting.md",
    "docs/files.md",
)  # pages that need name no command


@pytest.mark.parametrize("name", TEXTS)
def test_commands_parse(name, script):
    found = commands(TEXTS[name].split('"""')[1] if name.endswith(".py") else TEXTS[name])
    assert found or name in SILENT, "no command was found, not even how to run it"
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


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_recipes_are_sound_bash(path):
    subprocess.run(["bash", "-n", path], check=True)


def test_make_flickr8k_calls_the_recipe(tmp_path):
    printed = make("--dry-run", "flickr8k", f"DIR={tmp_path}", "OUT=there")
    assert f'bash docs/recipes/flickr8k.sh "{tmp_path}" there' in printed
    steps = re.findall(r"^python (\d)_", TEXTS["docs/recipes/flickr8k.sh"], re.MULTILINE)
    assert steps == ["1", "2", "3", "4", "5"]


def test_the_readme_is_one_page():
    lines = README.split("\n")
    assert len(lines) <= 151
    assert all(len(line) <= (300 if line.startswith("|") else 200) for line in lines)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", path.read_text("utf-8")):
        page = path.parent / target if target else path
        assert page.exists(), target
        assert not anchor or anchor in anchors(page), f"{target}#{anchor}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_named_files_are_there(path):
    folders = [folder for folder in ROOT.iterdir() if folder.is_dir() and not folder.name.startswith(".")]
    files = [*ROOT.iterdir(), *(file for folder in folders for file in folder.rglob("*"))]
    there = "".join(f"/{file.relative_to(ROOT).as_posix()}\n" for file in files)
    text = path.read_text("utf-8")
    named = re.findall(r"`([\w./-]+\.(?:py|md|cff|yml|toml|sh)|[\w-]+/[\w./-]+\.csv)`", text)
    examples = set(re.findall(r"^`([\w/]+\.py)`", text, re.MULTILINE)) if path.name == "CONTRIBUTING.md" else set()
    assert not [name for name in {*named} - examples if f"/{name}\n" not in there]


def test_the_three_lines_of_python_run(monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    monkeypatch.chdir(ROOT)
    assert len([line for line in code.split("\n") if line]) == 3
    said = []
    exec(code, {"print": said.append})
    assert said and said[0]
