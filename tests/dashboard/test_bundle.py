"""The dashboard's modules joined to one script."""

import shutil
import subprocess

import pytest

from trainstore.dashboard import bundle
from trainstore.dashboard.bundle import BundleError, in_order, script

MAIN = 'import { one } from "./one.js";\none();\n'


def test_the_dashboards_own_modules_can_be_joined():
    """Every module that main.js needs keeps the rules, and nothing of the module syntax is left."""
    joined = script()
    assert joined.index("const dom_js = ") < joined.index("const main_js = ")
    assert not [line for line in joined.splitlines() if line.startswith(("import ", "export "))]


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_joined_script_is_javascript(tmp_path):
    """Node reads the script without a syntax error."""
    (tmp_path / "joined.js").write_text(script(), encoding="utf-8")
    done = subprocess.run(["node", "--check", tmp_path / "joined.js"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_module_stands_behind_those_that_it_imports():
    """The order follows the imports, each module once."""
    modules = {
        "main.js": 'import { b } from "./b.js";\nimport {\n  c,\n} from "./c.js";\n',
        "b.js": 'import { c } from "./c.js";\nexport const b = c;\n',
        "c.js": "export const c = 1;\n",
    }
    assert in_order(modules) == ["c.js", "b.js", "main.js"]


def test_a_module_becomes_a_function_that_returns_what_it_exports():
    """Its imports are taken from what the others returned."""
    one = 'import {\n  two,\n} from "./t-2.js";\nexport async function one() {\n  return two;\n}\nexport class A {}\n'
    assert script({"main.js": MAIN, "one.js": one, "t-2.js": "export const two = 2;\n"}).splitlines() == [
        "(() => {",
        '"use strict";',
        "const t_2_js = (() => {",
        "const two = 2;",
        "return { two };",
        "})();",
        "",
        "const one_js = (() => {",
        "const { two } = t_2_js;",
        "async function one() {",
        "  return two;",
        "}",
        "class A {}",
        "return { one, A };",
        "})();",
        "",
        "const main_js = (() => {",
        "const { one } = one_js;",
        "one();",
        "return {  };",
        "})();",
        "})();",
    ]


def test_modules_may_have_names_in_common():
    """As long as they do not export them to each other."""
    one = "const name = 1;\nexport function one() {\n  return name;\n}\n"
    main = 'import { one } from "./one.js";\nconst name = 2;\nconsole.log(one() + name);\n'
    assert script({"main.js": main, "one.js": one}).count("const name = ") == 2


@pytest.mark.parametrize(
    ("one", "told"),
    [
        ('import "./two.js";\nexport const one = 1;\n', "an import of another form"),
        ('import two from "./two.js";\nexport const one = 1;\n', "an import of another form"),
        ('import * as two from "./two.js";\nexport const one = 1;\n', "an import of another form"),
        ("export const one = () => import('./two.js');\n", "an import of another form"),
        ("export const one = import.meta.url;\n", "an import of another form"),
        ("export const one = 1;\nexport default one;\n", "an export of another form"),
        ("export const one = 1;\nconst two = 2;\nexport { two };\n", "an export of another form"),
        ('export const one = "</SCRIPT >";\n', "would not take as part"),
        ('export const one = "<!-- x";\n', "would not take as part"),
        ("export const one = 1; // <!--\n", "would not take as part"),
        ("export let one = 1;\n", "an export of another form"),
        ("export const one = 1;\nexport let two = 1;\n", "an export of another form"),
        ("const one = 1;\n", "which one.js does not export"),
        ('import { zwei } from "./two.js";\nexport const one = zwei;\n', "imports zwei, which two.js does not export"),
        ('import { x } from "./gone.js";\nexport const one = x;\n', "imports gone.js, which does not exist"),
    ],
)
def test_a_module_that_breaks_a_rule_is_refused(one, told):
    """The error names the module and the rule."""
    modules = {"main.js": MAIN, "one.js": one, "two.js": "export const two = 2;\n"}
    with pytest.raises(BundleError, match=told) as caught:
        script(modules)
    assert "one.js" in str(caught.value)


def test_comments_are_left_out():
    """Those on their own lines, and types; what is beside code or in a text stays."""
    module = """// The first line.
/**
 * @param {string} a  "/*" and // inside
 */
export function one(a) {
  // why
  const text = /** @type {string} */ (a); // beside
  /** @type {any} */ (text).kept = 1;
  /** @type {number[]} */
  const list = ["// text", "/** text", `/* text */`];
  return [text, list, 4 / 2 / 1];
}
"""
    joined = script({"main.js": MAIN, "one.js": module})
    assert joined.splitlines()[3:9] == [
        "function one(a) {",
        "  const text = (a); // beside",
        "  (text).kept = 1;",
        '  const list = ["// text", "/** text", `/* text */`];',
        "  return [text, list, 4 / 2 / 1];",
        "}",
    ]


def test_modules_in_a_circle_are_refused():
    """The error tells the way round."""
    modules = {
        "main.js": 'import { a } from "./a.js";\n',
        "a.js": 'import { b } from "./b.js";\nexport const a = 1;\n',
        "b.js": 'import { a } from "./a.js";\nexport const b = 1;\n',
    }
    with pytest.raises(BundleError, match=r"a\.js → b\.js → a\.js"):
        script(modules)


def test_the_style_sheets_stand_in_the_order_of_the_page():
    """The theme comes first, and what only the report has comes last."""
    page = bundle.read_asset("index.html")
    joined = bundle.style(page, ".more { color: red }")
    assert joined.index("--run-0") < joined.index("box-sizing") < joined.index(".more")


def test_a_page_without_links_asks_for_nothing():
    """No asset is named in it any more."""
    assert "assets/" not in bundle.without_links(bundle.read_asset("index.html"))
