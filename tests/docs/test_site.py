"""The site builds without a warning, names everything public, and fetches nothing from elsewhere."""

from __future__ import annotations

import html
import inspect
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

import trainstore
from trainstore import ActiveRun, TrainStore, backends, callbacks, errors
from trainstore.cli import cli
from trainstore.integrations.transformers import TrainStoreCallback, record
from trainstore.system import SystemMetrics

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
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, timeout=300, check=False)
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
        *callbacks.__all__,
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


def described(docstring: str) -> set[str]:
    """The parameters that its section ``Args:`` names; one entry may name several."""
    section = re.search(r"^Args:\n((?: {4}.*\n|\n)+)", f"{docstring}\n", re.MULTILINE)
    entries = re.findall(r"^ {4}(\*{0,2}\w[\w, ]*):", section[1], re.MULTILINE) if section else []
    return {name.strip("* ") for entry in entries for name in entry.split(",")}


def functions() -> Iterator[tuple[str, Callable[..., object]]]:
    """What a user calls, with its name: the methods and constructors of the main classes, and the functions."""
    for cls in (TrainStore, ActiveRun, TrainStoreCallback):
        if cls is not ActiveRun:  # start_run and resume_run make one
            yield cls.__name__, cls
        for name in methods_of(cls):
            if not name.startswith("on_") and inspect.isroutine(getattr(cls, name)):
                yield f"{cls.__name__}.{name}", getattr(cls, name)
    for name in set(callbacks.__all__) - {"Callback"}:
        yield name, getattr(callbacks, name)
    yield "SystemMetrics", SystemMetrics
    for function in (record, trainstore.models_for, backends.open_backend, backends.register_backend):
        yield function.__name__, function


def test_every_parameter_is_described():
    """Each parameter of what a user calls stands in the docstring, and none that is not there; so does each frame."""
    checked = 0
    for name, function in functions():
        docstring = inspect.getdoc(function) or ""
        signature = inspect.signature(function)
        if name == "TrainStoreCallback":
            signature = inspect.signature(TrainStoreCallback.__init__)
        parameters = set(signature.parameters) - {"self"}
        assert described(docstring) == parameters, name
        checked += len(parameters)
        if "DataFrame" in str(signature.return_annotation):
            assert re.search(r"^Returns:\n.*[Cc]olumn", docstring, re.MULTILINE | re.DOTALL), name
    assert checked > 130


def test_every_option_of_every_command_is_described():
    """docs/cli.md has a section for each command, which names each of its options with what it does."""
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (trainstore[^\n]*)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    checked = 0
    for path in commands(cli):
        command: click.Command = cli
        for word in path.split()[1:]:
            assert isinstance(command, click.Group)
            found = command.get_command(click.Context(command), word)
            assert found is not None
            command = found
        for parameter in command.get_params(click.Context(command)):
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.help, f"{path} {parameter.name} says nothing"
                for option in (*parameter.opts, *parameter.secondary_opts):
                    assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", sections[path]), f"{path} {option}"
                    checked += 1
    assert checked > 50


def test_every_environment_variable_is_described():
    """Each TRAINSTORE_… that the code reads stands in a guide."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    variables = set(re.findall(r"\bTRAINSTORE_[A-Z_]*[A-Z]\b", code))
    assert len(variables) > 5
    assert {name for name in variables if not any(name in text for text in PROSE.values())} == set()


def test_no_docstring_renders_badly(site):
    """No markup of docstrings is left over in the reference, and no text was taken for a name."""
    for page in (site / "api").glob("*.html"):
        text = page.read_text(encoding="utf-8")
        article = re.sub(
            r"<pre.*?</pre>|<!--.*?-->", "", text[text.index("<article") : text.index("</article>")], flags=re.S
        )
        words = html.unescape(re.sub(r"<[^>]+>", "", article))
        assert re.findall(r".*(?:``|:class:|::\s*$|Columns \(|^Args:).*", words, re.MULTILINE) == [], page.name
        assert "Parameters:" in words or page.name in ("errors.html", "models.html", "records.html", "testing.html")


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
