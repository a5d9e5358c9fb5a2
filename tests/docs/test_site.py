"""The site builds without a warning, names everything public, and fetches nothing from elsewhere."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import trainstore
from trainstore import ActiveRun, TrainStore, errors
from trainstore.cli import cli

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PROSE = {
    path: path.read_text(encoding="utf-8")
    for path in DOCS.rglob("*.md")
    if "api" not in path.relative_to(DOCS).parts and path.name != "coverage.md"
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site, built as ``make docs`` builds it: strictly."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    # Not --quiet: then --strict sees no warning.
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def reference(site: Path) -> set[str]:
    """The last part of every name that the API reference has an entry for, from the site's inventory of objects."""
    compressed = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    return {line.split()[0].rpartition(".")[2] for line in zlib.decompress(compressed).decode().splitlines()}


def methods_of(cls: type) -> set[str]:
    """Its public methods and properties, inherited ones too."""
    return {name for name, _ in inspect.getmembers(cls) if not name.startswith("_")}


def error_names() -> set[str]:
    """Every error and warning of ours."""
    return {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}


def commands(command: click.Command, path: str = "trainstore") -> Iterator[str]:
    """The path of every command, as it is typed."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from commands(inner, f"{path} {name}")
    else:
        yield path


def test_the_reference_has_every_public_name(site, reference):
    """What `trainstore` exports, the methods of its two main classes, and every error have an entry."""
    tables = set(re.findall(r"^## (\w+)$", (DOCS / "api" / "models.md").read_text(encoding="utf-8"), re.MULTILINE))
    wanted = {
        *(set(trainstore.__all__) - {"__version__"}),
        *methods_of(TrainStore),
        *methods_of(ActiveRun),
        *error_names(),
    }
    assert len(wanted) > 80
    assert wanted - reference - tables == set()


def test_the_guides_name_everything_that_a_user_calls_or_catches():
    """Beside the reference, each method, error and command stands in a page that was written by hand, as code."""
    code = "\n".join(
        piece
        for text in PROSE.values()
        for piece in re.findall(r"```.*?^```|`[^`\n]+`", text, re.DOTALL | re.MULTILINE)
    )
    words = set(re.findall(r"\w+", code))
    assert methods_of(TrainStore) - words == set()
    assert methods_of(ActiveRun) - words == set()
    assert error_names() - words == set()
    paths = list(commands(cli))
    assert len(paths) > 12
    assert [path for path in paths if path not in code] == []


def test_every_public_method_and_class_has_a_docstring():
    """The reference shows no entry that says nothing."""
    for cls in (TrainStore, ActiveRun):
        assert [name for name in methods_of(cls) if not inspect.getdoc(inspect.getattr_static(cls, name))] == []
    assert [name for name in trainstore.__all__ if not inspect.getdoc(getattr(trainstore, name))] == []


def test_nothing_is_fetched_from_elsewhere(site):
    """Every script, style, font and picture of a page is the site's own."""
    pages = list(site.rglob("*.html"))
    assert len(pages) > 15
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]*\ssrc=[\"']?([^\"' >]+)", text)
        loaded += re.findall(r"<link[^>]*\shref=[\"']?([^\"' >]+)", text)
        assert loaded
        assert [url for url in loaded if re.match(r"(?:https?:)?//", url)] == [], page.name
        assert 'class="mermaid"' not in text, f"{page.name}: the theme would fetch mermaid"
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(?:https?:)?//|@import", style.read_text(encoding="utf-8")), style.name
