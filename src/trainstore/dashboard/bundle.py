"""The dashboard's modules and style sheets as one script and one style sheet, for a page that is a file by itself.

A browser loads modules from a server only, never from a page on the disk. They are easy to join because they import and
export in one way each: ``import {a, b} from "./x.js"``, and ``export`` before a declaration. Each becomes a function
that returns what it exports, behind those that it imports::

    const x_js = (() => { …; return { a, b }; })();
    const main_js = (() => { const { a, b } = x_js; … })();

Comments are left out: a third of the modules' text.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from importlib.resources import files

from trainstore.errors import TrainStoreError

MAIN = "main.js"
_IMPORT = re.compile(r'^import\s*\{(?P<names>[^{}]*)\}\s*from\s*"\./(?P<module>[\w.-]+)";[ \t]*\n?', re.MULTILINE)
_EXPORT = re.compile(r"^export (?:async function|function|class|const) (?P<name>[\w$]+)", re.MULTILINE)
# On lines of their own, and types before a value. What looks like one inside a string of several lines is not ours.
_COMMENT = re.compile(
    r"^[ \t]*/\*\*(?:(?!\*/)[\s\S])*\*/[ \t]*\n|^[ \t]*//.*\n|/\*\* @(?:(?!\*/)[^\n])*\*/ ?", re.MULTILINE
)
_FORBIDDEN = {
    "an import of another form": re.compile(r"^import\b|\bimport\s*\(|\bimport\.meta\b", re.MULTILINE),
    "an export of another form": re.compile(r"^export\b", re.MULTILINE),
}
_ENDS_SCRIPT = re.compile(r"</script|<!--|-->", re.IGNORECASE)
_STYLE = re.compile(r'<link rel="stylesheet" href="assets/@/([\w.-]+)">\n')


class BundleError(TrainStoreError):
    """A module breaks a rule by which modules are joined."""


def read_assets(suffix: str) -> dict[str, str]:
    """The text of each asset of this kind, by name."""
    folder = files("trainstore.dashboard") / "assets"
    return {item.name: _text(item) for item in folder.iterdir() if item.name.endswith(suffix)}


def read_asset(name: str) -> str:
    """The text of one asset."""
    return _text(files("trainstore.dashboard") / "assets" / name)


def script(modules: Mapping[str, str] | None = None) -> str:
    """All modules that the first one needs, as one script.

    Args:
        modules: Their text by name. None: the dashboard's.

    Raises:
        BundleError: A rule is broken; the message names module and rule.
    """
    if modules is None:
        return _dashboards()
    parts = [_as_function(name, modules) for name in in_order(modules)]
    return '(() => {\n"use strict";\n' + "\n".join(parts) + "})();\n"


@functools.cache
def _dashboards() -> str:
    """A process that writes many reports joins the dashboard's own modules once."""
    return script(read_assets(".js"))


def in_order(modules: Mapping[str, str], first: str = MAIN) -> list[str]:
    """The names of the modules that ``first`` needs, each behind those that it imports, and ``first`` itself."""
    found: list[str] = []
    path: list[str] = []

    def visit(name: str) -> None:
        if name in found:
            return
        if name in path:
            raise BundleError(f"modules import each other in a circle: {' → '.join([*path[path.index(name) :], name])}")
        if name not in modules:
            raise BundleError(f"{path[-1] if path else 'the page'} imports {name}, which does not exist")
        path.append(name)
        for imported in _IMPORT.finditer(modules[name]):
            visit(imported["module"])
        found.append(path.pop())

    visit(first)
    return found


def style(page: str, more: str = "") -> str:
    """The style sheets that a page links to, in its order, and more of them, as one."""
    return "\n".join([*(read_asset(name) for name in _STYLE.findall(page)), more])


def without_links(page: str) -> str:
    """A page without its links to style sheets, to the script and to the icon."""
    page = _STYLE.sub("", page)
    page = page.replace(f'<script type="module" src="assets/@/{MAIN}"></script>\n', "")
    return page.replace('<link rel="icon" href="assets/@/icon.svg">\n', "")


def exported_names(module: str) -> list[str]:
    """What other modules may import from this one."""
    return [found["name"] for found in _EXPORT.finditer(module)]


def _as_function(name: str, modules: Mapping[str, str]) -> str:
    """A module as a function that is called once."""
    text = _COMMENT.sub("", modules[name])
    names = exported_names(text)
    text = _EXPORT.sub(lambda found: found[0].removeprefix("export "), text)
    text = _IMPORT.sub(lambda found: _as_constants(name, found, modules), text)
    for rule, pattern in _FORBIDDEN.items():
        if found := pattern.search(text):
            raise BundleError(f"{name} has {rule}: {text[found.start() :].splitlines()[0][:80]!r}")
    if found := _ENDS_SCRIPT.search(text):
        raise BundleError(f"{name} has {found[0]!r}, which a page would not take as part of its script")
    return f"const {_variable(name)} = (() => {{\n{text.strip()}\nreturn {{ {', '.join(names)} }};\n}})();\n"


def _as_constants(name: str, found: re.Match[str], modules: Mapping[str, str]) -> str:
    asked = [part.strip() for part in found["names"].split(",") if part.strip()]
    missing = sorted(set(asked) - set(exported_names(modules[found["module"]])))
    if missing:
        raise BundleError(f"{name} imports {', '.join(missing)}, which {found['module']} does not export")
    return f"const {{ {', '.join(asked)} }} = {_variable(found['module'])};\n"


def _variable(name: str) -> str:
    """``run-head.js`` as the name of what it exports."""
    return re.sub(r"\W", "_", name)


def _text(item: object) -> str:
    text: str = item.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    return text.replace("\r\n", "\n")  # a browser computes the hash of a script after the same replacement
