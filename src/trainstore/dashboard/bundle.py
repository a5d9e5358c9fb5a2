"""The dashboard's modules and style sheets as one script and one style sheet, for a page that is a file by itself.

A browser loads modules from a server only, never from a page on the disk. Two rules make them easy to join: they are
imported and exported in one way each (``import {a, b} from "./x.js"``; ``export`` before a declaration), and no two
modules have a top-level name in common. Then it is enough to leave both words out, and to put each module behind those
that it imports. Comments are left out, too: a third of the modules' text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

from trainstore.errors import TrainStoreError

MAIN = "main.js"
_IMPORT = re.compile(r'^import\s*\{(?P<names>[^{}]*)\}\s*from\s*"\./(?P<module>[\w.-]+)";[ \t]*\n?', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async function|function|class|const|let)\b)", re.MULTILINE)
_DECLARED = re.compile(
    r"^(?P<exported>export )?(?:async function|function\*?|class|const|let|var) +(?P<name>[\w$]+|[\[{])", re.MULTILINE
)
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
    modules = read_assets(".js") if modules is None else modules
    order = in_order(modules)
    _check_names({name: modules[name] for name in order})
    parts = [f"// --- {name}\n{_joinable(name, modules[name])}" for name in order]
    return '(() => {\n"use strict";\n' + "\n".join(parts) + "})();\n"


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


def exported_names(module: str) -> set[str]:
    """What other modules may import from this one."""
    return {found["name"] for found in _DECLARED.finditer(module) if found["exported"]}


def _check_names(modules: Mapping[str, str]) -> None:
    owners: dict[str, str] = {}
    for name, text in modules.items():
        for found in _DECLARED.finditer(text):
            declared = found["name"]
            if declared in ("[", "{"):
                raise BundleError(
                    f"{name} takes a value apart at its top level, which hides the names that it declares"
                )
            if declared in owners:
                raise BundleError(f"{name} and {owners[declared]} both declare {declared}")
            owners[declared] = name
    for name, text in modules.items():
        for found in _IMPORT.finditer(text):
            asked = {part.strip() for part in found["names"].split(",")} - {""}
            missing = sorted(asked - exported_names(modules[found["module"]]))
            if missing:
                raise BundleError(f"{name} imports {', '.join(missing)}, which {found['module']} does not export")


def _joinable(name: str, text: str) -> str:
    text = _EXPORT.sub("", _IMPORT.sub("", text))
    text = _COMMENT.sub("", text)
    for rule, pattern in _FORBIDDEN.items():
        if found := pattern.search(text):
            raise BundleError(f"{name} has {rule}: {text[found.start() :].splitlines()[0][:80]!r}")
    if found := _ENDS_SCRIPT.search(text):
        raise BundleError(f"{name} has {found[0]!r}, which a page would not take as part of its script")
    return text if text.endswith("\n") else f"{text}\n"


def _text(item: object) -> str:
    text: str = item.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    return text.replace("\r\n", "\n")  # a browser computes the hash of a script after the same replacement
