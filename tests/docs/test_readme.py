"""The README's code blocks run, and print what they say they print."""

import contextlib
import io
import re
import sqlite3
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What the others show is not run: commands (tests/cli runs them), a picture, the tree of files.
NOT_RUN = {"console", "mermaid"}


def blocks():
    """The README's blocks as (language, text, expected output or None)."""
    found = BLOCK.findall(README.read_text())
    result = []
    for index, (language, text) in enumerate(found):
        following = found[index + 1] if index + 1 < len(found) else ("", "")
        expected = following[1] if language in ("python", "sql") and following[0] == "text" else None
        if language != "text":
            result.append((language, text, expected))
    return result


def test_every_block_is_run_or_known_not_to_be():
    """No block of the README escapes: each is Python, SQL, output of one of them, or of a kind that is not run."""
    languages = [language for language, _, _ in blocks()]
    assert set(languages) - {"python", "sql"} <= NOT_RUN
    assert languages.count("python") >= 6
    assert languages.count("sql") >= 2


@pytest.fixture
def names():
    """What the README takes for granted: a model and its data, here tiny ones."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    tokens = torch.randint(0, 16, (40, 8), generator=torch.Generator().manual_seed(0))
    examples = [{"input_ids": row, "labels": row} for row in tokens]
    model = GPT2LMHeadModel(GPT2Config(vocab_size=16, n_positions=8, n_embd=8, n_layer=1, n_head=1))
    return {"model": model, "train_dataset": examples[:32], "eval_dataset": examples[32:]}


def test_the_blocks_print_what_they_say(new_database, tmp_path, monkeypatch, names):
    """Run in order, in one namespace and an empty folder, every block prints exactly the text below it."""
    monkeypatch.chdir(tmp_path)
    database_url = new_database("postgresql", migrated=False)
    for language, text, expected in blocks():
        if language == "python":
            output = io.StringIO()
            code = text.replace("postgresql://user:password@host:5432/database", database_url)
            with contextlib.redirect_stdout(output):
                exec(compile(code, "README.md", "exec"), names)
            printed = output.getvalue()
        elif language == "sql":
            with contextlib.closing(sqlite3.connect("runs.db")) as connection:
                printed = "".join("|".join(map(str, row)) + "\n" for row in connection.execute(text))
        else:
            continue
        if expected is not None:
            assert printed == expected
    names["store"].close()
    ours = [c for c in names["trainer"].callback_handler.callbacks if isinstance(c, names["TrainStoreCallback"])]
    ours[0].close()
