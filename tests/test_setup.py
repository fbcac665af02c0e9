"""The set-up's files agree with each other, and every module follows the direction of imports."""

import re
import tomllib
from fnmatch import fnmatch
from importlib import resources
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONFIGURATION = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = CONFIGURATION["project"]


def test_environment_file_lists_what_the_project_needs():
    """environment.yml's pip part is the project's dependencies and the full TensorFlow."""
    listed = re.findall(r"^      - (.+)$", (ROOT / "environment.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(["tensorflow>=2.21", *PROJECT["dependencies"]])


def test_environment_file_is_what_conda_takes():
    """environment.yml is the small part of YAML that is parsed here, and its Python is one that the project takes."""
    lines = [line for line in (ROOT / "environment.yml").read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"\w+:( \S.*)?|(  ){1,3}- \S.*", line) for line in lines)
    assert [line.split(":")[0] for line in lines if line[0] != " "] == ["name", "channels", "dependencies"]
    assert (
        lines.index("      - numpy>=2.0")
        > lines.index("  - pip:")
        > lines.index("  - pip")
        > lines.index("dependencies:")
    )
    version = re.search(r"^  - python=3\.(\d+)$", "\n".join(lines), re.MULTILINE)[1]
    low, high = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"]).groups()
    assert int(low) <= int(version) < int(high)


def test_one_build_of_tensorflow_on_every_machine():
    """Neither extra can bring in two builds of TensorFlow: each pair of markers excludes the other."""
    for extra in ("cpu", "gpu"):
        markers = [requirement.split("; ")[1] for requirement in PROJECT["optional-dependencies"][extra]]
        for system, machine in (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"), ("win32", "AMD64")):
            chosen = [eval(marker, {"sys_platform": system, "platform_machine": machine}) for marker in markers]
            assert sum(chosen) == 1, (extra, system, machine)


def test_the_pages_files_are_installed():
    """importlib.resources finds the files, and pyproject.toml names each of them."""
    patterns = CONFIGURATION["tool"]["setuptools"]["package-data"]["captioning.pages"]
    names = {file.name for file in resources.files("captioning.pages").iterdir() if file.is_file()}
    assert {"page.html", "gallery.html", "serve.html", "ablation_page.html"} <= names
    assert all(any(fnmatch(name, pattern) for pattern in [*patterns, "*.py"]) for name in names)
