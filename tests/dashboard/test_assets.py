"""What the dashboard's page is made of: no build step, so these rules take the place of a bundler's and a linter's."""

import gzip
import re
from pathlib import Path

import pytest

import trainstore.dashboard
from trainstore.dashboard.bundle import exported_names, read_assets
from trainstore.dashboard.bundle import script as joined_script

PACKAGE = Path(trainstore.dashboard.__file__).parent
ASSETS = PACKAGE / "assets"
SCRIPTS = sorted(ASSETS.glob("*.js"))
STYLES = sorted(ASSETS.glob("*.css"))
TEXTS = [path for path in sorted(ASSETS.iterdir()) if path.suffix in (".js", ".css", ".html", ".svg")]

LINES = 300  # of one file
SCRIPT_BYTES, SCRIPT_GZIP = 500 * 1024, 145 * 1024  # a quarter of it is comments, most of them types

IMPORT = re.compile(r'^import \{([^{}]*)\} from "\./[\w.-]+";$', re.MULTILINE)

#: What turns text into markup or code, or goes around the policy that the server sends.
SINKS = re.compile(
    r"\b(?:innerHTML|outerHTML|insertAdjacentHTML|createContextualFragment|DOMParser|setHTMLUnsafe|srcdoc"
    r"|document\.write(?:ln)?|new Function|import\(|importScripts|eval\()"
    r"|setAttribute\(\s*[\"'](?:style|on)|\bset(?:Timeout|Interval)\(\s*[\"'`]|javascript:"
)
NETWORK = re.compile(r"\b(?:fetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|RTCPeerConnection|Worker\()")
SCHEME = re.compile(r"\b[a-zA-Z][a-zA-Z+.-]*://[^\s\"'`]*")


def code(path):
    """A script without comments. Good enough for our own: no string of ours contains ``/*`` or `` // ``."""
    text = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.sub(r"(?m)(^|\s)//.*$", r"\1", text)


def pytest_generate_tests(metafunc):
    """Each rule once for each file."""
    if "script" in metafunc.fixturenames:
        metafunc.parametrize("script", SCRIPTS, ids=lambda path: path.name)
    if "text" in metafunc.fixturenames:
        metafunc.parametrize("text", TEXTS, ids=lambda path: path.name)


def test_every_module_can_be_joined_to_the_others():
    """Those too that the page does not need by itself: their forms, their names, their order (test_bundle.py)."""
    modules = read_assets(".js")
    every = [
        f'import {{ {min(exported_names(text))} }} from "./{name}";\n'
        for name, text in modules.items()
        if exported_names(text)
    ]
    joined = joined_script({**modules, "main.js": "".join(every) + modules["main.js"]})
    functions = {path.name: re.sub(r"\W", "_", path.name) for path in SCRIPTS}
    assert [name for name, function in functions.items() if f"\nconst {function} = (() => {{" not in joined] == []


def test_what_is_imported_is_used(script):
    """No name is left over."""
    text = code(script)
    names = [name.strip() for names in IMPORT.findall(text) for name in names.split(",") if name.strip()]
    # A name behind one dot is a property, behind three it is spread.
    used = {name: re.findall(rf"(?:(?<![\w$.])|(?<=\.\.\.)){re.escape(name)}(?![\w$])", text) for name in names}
    assert [name for name in names if len(used[name]) < 2] == []


@pytest.mark.parametrize(
    "line",
    [
        "element.innerHTML = name;",
        'element.setAttribute("onclick", name);',
        "element.setAttribute('style', name)",
        'setTimeout("act()", 10);',
        'eval("1")',
        'const more = await import("./more.js");',
        'link.href = "javascript:" + name;',
    ],
)
def test_the_rules_see_what_they_forbid(line):
    """In code, not in a comment."""
    assert SINKS.search(line)
    assert not SINKS.search("const evaluated = retrieval(step); state.import = 1;")


def test_nothing_takes_text_for_markup(script):
    """Text goes into the page as text, whatever a run is called."""
    assert SINKS.findall(code(script)) == []


def test_one_module_talks_to_the_server(script):
    """A page that is a file has another one in its place, and asks nobody."""
    if script.name != "source-http.js":
        assert NETWORK.findall(code(script)) == []


def test_no_address_with_a_scheme(text):
    """The page needs its own server alone. Names of W3C's namespaces are no addresses."""
    found = [address for address in SCHEME.findall(text.read_text(encoding="utf-8")) if "//www.w3.org/" not in address]
    assert found == []


def test_no_file_is_long(text):
    """A file has one subject."""
    assert len(text.read_text(encoding="utf-8").splitlines()) <= LINES


def test_nothing_is_inline():
    """The policy allows neither styles nor scripts in the page's own text."""
    page = (ASSETS / "index.html").read_text(encoding="utf-8")
    assert "<style" not in page
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert re.findall(r"\s(?:on\w+|style)=", page) == []


def test_every_style_is_in_the_page():
    """And the page names no file that is not there."""
    page = (ASSETS / "index.html").read_text(encoding="utf-8")
    named = re.findall(r"(?:href|src)=\"assets/@/([^\"]+)\"", page)
    assert len(named) == len(set(named))
    assert {name for name in named if not (ASSETS / name).is_file()} == set()
    assert {path.name for path in STYLES} == {name for name in named if name.endswith(".css")}


def test_every_script_is_used():
    """By the page, by another script, or by the report."""
    page = (ASSETS / "index.html").read_text(encoding="utf-8")
    others = {path.name: path.read_text(encoding="utf-8") for path in SCRIPTS}
    python = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.glob("*.py"))
    unused = [
        path.name
        for path in SCRIPTS
        if path.name not in page
        and path.name not in python
        and not any(f"./{path.name}" in text for name, text in others.items() if name != path.name)
    ]
    assert unused == []


def test_the_scripts_are_small():
    """A first visit over a slow line; what grows must earn its place."""
    whole = b"".join(path.read_bytes() for path in SCRIPTS)
    assert len(whole) <= SCRIPT_BYTES
    assert len(gzip.compress(whole, 9, mtime=0)) <= SCRIPT_GZIP


# --- Colours ----------------------------------------------------------------------------------------------------------


def colours(theme):
    """The colours of a theme, name → red, green, blue from 0 to 1."""
    text = (ASSETS / "theme.css").read_text(encoding="utf-8")
    light, dark = re.search(r":root \{(.*?)\n\}.*?:root\[data-theme=\"dark\"\] \{(.*?)\n\}", text, re.DOTALL).groups()
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", light + (dark if theme == "dark" else "")))
    return {name: tuple(int(hexa[place : place + 2], 16) / 255 for place in (1, 3, 5)) for name, hexa in found.items()}


def contrast(one, other):
    """As WCAG defines it, from 1 to 21."""

    def luminance(colour):
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_is_readable(theme):
    """Every text colour on every ground that text stands on: 4.5; edges of fields, the focus ring and curves: 3."""
    known = colours(theme)
    grounds = ("bg", "panel", "raised", "chosen", "hover")
    pairs = [(text, ground, 4.5) for text in ("text", "muted", "accent", "good", "warn", "bad") for ground in grounds]
    pairs.append(("on-accent", "accent", 4.5))
    pairs += [(line, ground, 3) for line in ("edge", "focus") for ground in ("bg", "raised", "panel")]
    pairs += [(f"run-{number}", "bg", 3) for number in range(8)]
    poor = {(one, other): round(contrast(known[one], known[other]), 2) for one, other, _ in pairs}
    assert {(one, other): poor[one, other] for one, other, least in pairs if poor[one, other] < least} == {}
