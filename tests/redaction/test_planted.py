"""A secret inside what trainings, libraries and services say is stored nowhere; texts without one stay as they are."""

from __future__ import annotations

import json
import string
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from properties.profiles import examples
from redaction.canaries import everything_stored
from redaction.corpus import HEX40, UUID
from trainstore.redaction import LONGEST_SECRET, REDACTED, redact_text
from trainstore.store import TrainStore
from trainstore.values import MAX_REPR_LENGTH, canonical, stored_text

#: Of letters and digits, as services give them out; it is not a word with a number.
SECRETS = st.text(string.ascii_letters + string.digits, min_size=6, max_size=40).map(lambda text: f"q7{text}Z3x")
#: «» stands where the secret is.
MESSAGES = [
    "401 Client Error: Unauthorized for url: https://api.example.org/v1?token=«»&page=2",
    "cannot log in (token=«»)",
    "login failed with api_key=«», is it expired?",
    "OSError: You are trying to access a gated repo with access_token: «»",
    "ValueError: password: «»",
    '(2003, "Can\'t connect to mysql+pymysql://root:«»@db:3306/optuna")',
    "sqlalchemy.exc.OperationalError: [parameters: {'hub_token': '«»', 'lr': 0.1}]",
    "could not connect: host=db user=me password=«» sslmode=require",
    "Request headers: {'Authorization': 'Bearer «»', 'Accept': '*/*'}",
    "> POST / HTTP/1.1\n> Authorization: Basic «»\n> Accept: */*",
    "Invalid bearer «».",
    "Incorrect API key provided: «». You can find yours in the settings.",
    "wandb.errors.UsageError: api_key not configured (no-tty), tried WANDB_API_KEY=«»",
    "environ({'HOME': '/root', 'HF_TOKEN': '«»', 'PATH': '/bin'})",
    "Command '['huggingface-cli', 'login', '--token', '«»']' returned non-zero exit status 1",
    "Command 'train.py --hub_token «» --lr 0.1' failed",
    "TrainingArguments(output_dir='x', hub_token='«»', seed=1)",
    "InferenceClient(model='gpt2', token='«»')",
    '  File "x.py", line 3, in main\n    client = Client(api_key="«»")\nValueError: no',
    '    api_key: str = "«»"\n',
    "config:\n  db:\n    password: «»\n    host: x\n  client_secret: «»\n",
    "\x1b[1mapi_key\x1b[0m=\x1b[32m'«»'\x1b[0m",
    "fatal: could not read from https://me:«»@github.com/org/repo.git",
    "slack://«»/«»/«» cannot be reached",
    '{"user": "me", "token": "«»"}',
    "[('x-api-key', '«»'), ('accept', '*/*')]",
    "the password is «», and the secret key is '«»'",
]
BEFORE = st.sampled_from(
    ["", "RuntimeError: ", "step 12 of 100: ", "loss=0.5, tokens=512\n", "Traceback (most recent call last):\n", "é → "]
)
AFTER = st.sampled_from(["", "\n", " at step 12", "\nloss=0.5, tokens=512", "; é → "])
WAYS: list[Callable[[str], str]] = [
    str,
    repr,
    json.dumps,
    lambda text: repr(repr(text)),
    lambda text: f"{text}\n{text}",
]


@st.composite
def planted(draw: st.DrawFn) -> tuple[str, str]:
    """A secret, and a message that holds it."""
    secret = draw(SECRETS)
    message = draw(st.sampled_from(MESSAGES)).replace("«»", secret)
    return secret, draw(st.sampled_from(WAYS))(f"{draw(BEFORE)}{message}{draw(AFTER)}")


@examples(400)
@given(planted())
def test_a_planted_secret_goes(found: tuple[str, str]) -> None:
    """From a message, its repr, its JSON, and a message of several."""
    secret, text = found
    result = redact_text(text)
    assert secret not in result
    assert REDACTED in result
    assert redact_text(result) == result


WORDS = st.sampled_from(
    ["loss", "token", "tokens", "tokenizer", "max_tokens", "eos_token", "KeyError", "key", "num_key_value_heads",
     "gpt2", "Llama-3.1-8B", "layer12", "block_3", "model.layers.0.q_proj", "pass@1", "passes", "author", "sort_key",
     "the", "of", "checkpoint-500", "/data/keys/run-1", HEX40, UUID, "<eos>", "[PAD]", "Ġthe", "▁a"]
)  # fmt: skip
PLAIN_FORMS = st.sampled_from(
    ["{0}={1}", "{0}: {1}", "{0} {2}", "unexpected {0}: <eos>", "KeyError: '{2}'", "'{0}': {1}", "{0}/{2}", "({0}={1})",
     "{2} at step {1}", "commit " + HEX40, "--max-{0} {1}", "{0}[{1}]", "see /data/{2}/{0}"]
)  # fmt: skip
NUMBERS = st.one_of(
    st.integers(-(10**9), 10**9), st.floats(allow_nan=True, width=32), st.sampled_from(["1.5e-05", "8B"])
)
PLAIN = st.lists(st.builds(str.format, PLAIN_FORMS, WORDS, NUMBERS, WORDS), min_size=1, max_size=8).map("\n".join)


@examples(400)
@given(PLAIN)
def test_what_trainings_say_stays(text: str) -> None:
    """Metrics, tokens, counts, models, paths and hashes, to the letter."""
    assert redact_text(text) == text


def say_everywhere(run: Any, text: str, timeout: float = 60) -> None:
    """The text wherever a run takes one."""
    run.alert(text, text)
    run.alert("stuck", text, level="warn")
    run.log_event("exception", details={"error": text, "traceback": text.splitlines(), "config": {"a": [text]}})
    run.set_notes(text)
    run.set_tags({"why": text})
    run.log_hyperparams({"command": text, "nested": {"list": [text, {"text": text}]}})
    run.log_hyperparams({"environ": text}, namespace="env")
    run.log({"loss": 1.0, "said": text}, step=0, details={"sample": text})
    run.finish("failed", text, timeout)


def files_below(folder: Path) -> str:
    return "".join(path.read_bytes().decode(errors="replace") for path in folder.rglob("*") if path.is_file())


@examples(12)
@given(planted())
@example(("q7hunter2Z3x", "RuntimeError: cannot log in (token=q7hunter2Z3x)"))
def test_a_planted_secret_is_stored_nowhere(store: TrainStore, tmp_path: Path, found: tuple[str, str]) -> None:
    """Whatever way it takes: no table has it, and no file, neither the database's nor a journal's."""
    secret, text = found
    run = store.start_run(notes=text, model_name=text, source=text, tags=[text])
    say_everywhere(run, text)
    assert run.flush(60)
    stored, files = everything_stored(store), files_below(tmp_path)
    store.delete_run(run)
    assert REDACTED in stored
    assert secret not in stored
    assert secret not in files


def test_a_planted_secret_is_in_no_journal(tmp_path: Path) -> None:
    """While the database is away, what is recorded waits there; the file that it is written to holds none."""
    store = TrainStore("postgresql://me@127.0.0.1:1/db", offline_ok=True)
    secret = "q7hunter2Z3x"
    for message in MESSAGES:
        say_everywhere(store.start_run(), message.replace("«»", secret), timeout=0)
    kept = files_below(tmp_path)
    assert kept.count(REDACTED) > 8 * len(MESSAGES)
    assert secret not in kept
    store._close(0)


def test_the_whole_command_line_is_one_text(store: TrainStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name and its value may be two arguments."""
    arguments = [
        "train.py",
        "+hub_token=hunter2",
        "--note",
        "Authorization:",
        "Bearer",
        "abc123def456",
        "api_key:",
        "hunter2",
    ]
    monkeypatch.setattr(sys, "argv", arguments)
    command = store.get_run(store.start_run()).command
    assert command == (f"train.py +hub_token={REDACTED} --note Authorization: Bearer {REDACTED} api_key: {REDACTED}")


@pytest.mark.parametrize("at", range(-45, 5, 3))
def test_a_secret_that_a_cut_divides(at: int) -> None:
    """No part of it stays before the cut, of a text that is stored as well as of a repr."""
    token = "hf_" + "q8ZtR41kLmP0vX7sD2wNb5Yc9GhJ3fTu6a"
    text = "x " * (MAX_REPR_LENGTH // 2)
    text = f"{text[: MAX_REPR_LENGTH + at]} {token} {'y ' * 10_000}"

    class Long:
        def __repr__(self) -> str:
            return text

    for kept in (stored_text(text), canonical(Long())["$repr"]):
        assert token[:8] not in kept
        assert MAX_REPR_LENGTH <= len(kept) < MAX_REPR_LENGTH + 50
        assert kept.startswith(text[: MAX_REPR_LENGTH - 50])


@pytest.mark.parametrize("at", range(1, 40, 3))
@pytest.mark.parametrize("before", [" ", "'", "token="])
def test_a_secret_where_the_search_ends(at: int, before: str) -> None:
    """Long secrets became short, so what stood far behind the limit would be kept: the last word is not."""
    token = "hf_" + "q8ZtR41kLmP0vX7sD2wNb5Yc9GhJ3fTu6a"
    key = f"-----BEGIN PRIVATE KEY-----\n{'A' * 4_500}\n-----END PRIVATE KEY-----\n"
    text = f"{key}{'x ' * LONGEST_SECRET}"[: 1_000 + LONGEST_SECRET - at] + before + token + " y" * 100
    kept = stored_text(text, 1_000)
    assert kept.startswith(f"{REDACTED}\nx x x ")
    assert token[3:7] not in kept


def test_the_work_grows_with_the_text() -> None:
    """Twice the text calls twice as many functions, and a text that is kept in part is searched in part."""
    line = '2026-01-01 INFO step=3 token=5 lr: 1e-5 "token": "the", the token is x1, api_key: required, pass=a '
    assert calls_of(redact_text, line * 400) < 2.1 * calls_of(redact_text, line * 200)
    assert calls_of(stored_text, line * 20_000) < 1.1 * calls_of(stored_text, line * 2_000)


def calls_of(function: Callable[[str], str], text: str) -> int:
    """How many functions it calls, those in C included."""
    count = 0

    def see(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(see)
    try:
        function(text)
    finally:
        sys.setprofile(None)
    return count
