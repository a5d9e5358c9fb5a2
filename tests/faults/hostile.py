"""Values and names that a store is given by those who mean no good, or know no better.

Also loaded by producers, with torch (`log_values`).
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))

import numpy as np
import torch

from properties.test_values import CONVERTED, KEPT_AS_TEXT, Hostile, cycle, deep

__all__ = ["METACHARACTERS", "Hostile", "as_text", "log_values", "read_back"]

#: Values with what is read back. Where that is None, some text is: `as_text`.
READ_BACK: list[tuple[Any, Any]] = [
    *CONVERTED,
    (math.nan, math.nan), (math.inf, math.inf), (-math.inf, -math.inf), (-0.0, 0.0), (5e-324, 5e-324),
    (1.7976931348623157e308, 1.7976931348623157e308), (0.1 + 0.2, 0.1 + 0.2),
    (2**53 + 1, 2**53 + 1), (2**63 - 1, 2**63 - 1), (-(2**63), -(2**63)), (2**63, 2**63), (2**200, 2**200),
    (True, True), (False, False), (None, None), ("", ""), ("true", "true"), ("null", "null"),
    (np.float16(0.1), float(np.float16(0.1))), (np.int8(-128), -128), (np.bool_(False), False),
    (torch.tensor(0.5), 0.5), (torch.tensor(float("nan")), math.nan), (torch.tensor(3), 3), (torch.tensor(True), True),
    (torch.tensor(0.1, dtype=torch.bfloat16), torch.tensor(0.1, dtype=torch.bfloat16).item()),
    (torch.tensor(2.0, requires_grad=True), 2.0),
    ("\u202eright to left\u202c \u05e9\u05dc\u05d5\u05dd", "\u202eright to left\u202c \u05e9\u05dc\u05d5\u05dd"),
    ("\U0001f986 \U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f986 \U0001f468\u200d\U0001f469\u200d\U0001f467"),
    ("e\u0301 \u00e9 \ufeff \ufffe \uffff", "e\u0301 \u00e9 \ufeff \ufffe \uffff"),
    ("a\r\n\tb\x1b[31m\x07\x7f", "a\r\n\tb\x1b[31m\x07\x7f"),
    ("\\u0000 \\ud800", "\\u0000 \\ud800"),
    ([], []), ({}, {}), ([[[]]], [[[]]]), ([None, {"a": [True, 2**63]}], [None, {"a": [True, 2**63]}]),
    ({"": 1}, {"~empty": 1}), ({"a.b": {"c": 1}}, {"a.b": {"c": 1}}), ({"a\x00": "\ud800"}, {"a\\u0000": "\\ud800"}),
]  # fmt: skip
AS_TEXT: list[Any] = [
    *KEPT_AS_TEXT, cycle(), deep(1_000), [Hostile()], {"inner": Hostile()}, torch.zeros(1_001),
    torch.tensor(1 + 2j), np.complex64(1 + 2j), np.array(["a"]), math, Hostile,
]  # fmt: skip
VALUES: list[Any] = [*(value for value, _ in READ_BACK), *AS_TEXT]

#: Texts that mean something to SQL, LIKE, JSON paths, formatting, shells, terminals, HTML, spreadsheets or paths.
METACHARACTERS = [
    "'; DROP TABLE run; --", "' OR 1=1 --", '" OR ""="', "') UNION SELECT uid FROM store --", "1; DELETE FROM run",
    "$$; DROP TABLE run; $$", "E'\\''", "/* */", "--", ";", "%", "_", "%_\\", "\\%", "\\", "\\\\", "[a-z]*", "?", ":x",
    ":x::int", "$1", "%s", "%(x)s", "%%", "{}", "{0}", "{x!r}", "${HOME}", "$(id)", "`id`", "| id", "&& id", "> x",
    "$", "$.a", '$."a"', "$[0]", "$[*]", "a.b", "a.b.c", 'a"b', "a'b", "->>", "@>", "a[0]", "#", "~empty",
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "&lt;&amp;", "javascript:alert(1)", "]]>",
    "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x9b31m", "\r", "\n", "\t", "\x07", "\u202eevil\u202c", "\u2028",
    "../../etc/passwd", "..\\..\\x", "/etc/passwd", "%2e%2e%2f", "%252e%252e%252f", "a/../b", "C:\\x", "file:///x",
    "=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "a,b;c", '"a","b"', "NULL", "null", "None", "nan", "true", "0",
    "epoch2", "uid", "id", "step ", " step", "STEP", "rowid", "oid", "ctid", "Ünïcødé \U0001f986", " ", "  a  ",
]  # fmt: skip


def same(one: Any, other: Any) -> bool:
    """Equal with types, NaN with itself."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return type(one) is type(other) and one == other


def as_text(found: Any) -> bool:
    """Whether a value, or what it holds innermost, is a text."""
    while isinstance(found, (list, dict)) and found:
        found = list(found.values())[-1] if isinstance(found, dict) else found[-1]
    return isinstance(found, str)


def log_values(run: Any) -> None:
    """Every value wherever one may stand: a step for each, with a plain metric beside it."""
    for number, value in enumerate(VALUES):
        run.log({"plain": float(number), "value": value}, step=number, details={"value": value})
        run.log_hyperparams({f"v{number}": value})
        run.set_tags({f"v{number}": value})
        run.log_event("hostile", step=number, details={"value": value})
    for wrong in (*AS_TEXT, "text", 1.5, True):
        run.log(wrong)
        run.log_hyperparams(wrong)
        run.log_event(wrong, step=wrong, details=wrong)
        run.log({"never": 1.0}, step=wrong, epoch=wrong, details=wrong)


def read_back(store: Any, uid: str) -> dict[str, list[Any]]:
    """What stands at each place now, in the order of `VALUES`."""
    numbers = range(len(VALUES))
    steps = store.list_step_logs(uid, details=True)
    steps = steps[steps["plain"].notna()].sort_values("step")
    assert steps["plain"].tolist() == [float(number) for number in numbers]
    hyperparams = store.list_hyperparams(uid, namespace="hp").set_index("key")["value"]
    tags = store.list_hyperparams(uid, namespace="tag").set_index("key")["value"]
    events = store.list_events(uid, kind="hostile").sort_values("step")["details"].tolist()
    return {
        "metric": steps["value"].tolist(),
        "details": [details["value"] for details in steps["details"].tolist()],
        "hyperparam": [hyperparams[f"v{number}"] for number in numbers],
        "tag": [tags[f"v{number}"] for number in numbers],
        "event": [details["value"] for details in events],
    }
