"""Every secret of the corpus goes, every look-alike stays."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redaction.corpus import (
    B62,
    CANARY,
    DOUBTFUL_KEYS,
    HEX40,
    PLAIN_KEYS,
    PLAIN_TEXTS,
    PLAIN_VALUES,
    SECRET_KEYS,
    SECRET_TEXTS,
    SECRET_VALUES,
    UUID,
)
from trainstore.redaction import REDACTED, is_secret_key, looks_random, redact, redact_arguments, redact_text
from trainstore.values import canonical, canonical_hyperparams

SECRETS = re.compile("⟨(.*?)⟩", re.DOTALL)


@pytest.mark.parametrize("marked", SECRET_TEXTS)
def test_secrets_in_texts_go(marked: str):
    """Inside any text exactly the secret goes, and what stands around it stays."""
    text = marked.replace("⟨", "").replace("⟩", "")
    result = redact_text(text)
    assert result == SECRETS.sub(REDACTED, marked)
    for secret in SECRETS.findall(marked):
        assert secret not in result.replace(REDACTED, "")
        assert secret not in redact_text(f"before: {text}\nafter").replace(REDACTED, "")


@pytest.mark.parametrize("text", PLAIN_TEXTS)
def test_plain_texts_stay(text: str):
    """Ordinary texts, hashes, paths, addresses and source code are kept, to the letter."""
    assert redact_text(text) == text
    assert redact_text(f"a {text}\nb") == f"a {text}\nb"


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_secret_keys(key: str):
    """A text under a key that names a secret goes, at any depth, in mappings and on command lines."""
    assert is_secret_key(key)
    assert redact({"a": [{key: "abc"}]}) == {"a": [{key: REDACTED}]}
    option = f"--{key.replace('_', '-')}"
    assert redact_arguments([option, "abc", f"{option}=abc", "x"]) == [option, REDACTED, f"{option}={REDACTED}", "x"]


@pytest.mark.parametrize("key", PLAIN_KEYS)
def test_plain_keys(key: str):
    """A tokenizer's tokens, counts and names that only sound like a secret are kept."""
    values = {key: "<|endoftext|>", f"{key}2": "some_longer_plain_text", "x": {key: "gpt2"}, "y": [{key: ["a", 1]}]}
    assert redact(values) == values
    arguments = [f"--{key}", "linear", f"--{key}=linear"]
    assert redact_arguments(arguments) == arguments


@pytest.mark.parametrize("key", DOUBTFUL_KEYS)
def test_doubtful_keys(key: str):
    """Under a name that may mean a secret only a value that looks drawn by lot goes."""
    assert redact({key: B62}) == {key: REDACTED}
    for plain in ("<|tool|>", "prod/database", "checkpoint-500/model-00001.safetensors"):
        assert redact({key: plain}) == {key: plain}
    assert redact_arguments([f"--{key}", B62, f"--{key}={B62}"]) == [f"--{key}", REDACTED, f"--{key}={REDACTED}"]


def test_plain_values_stay():
    """What a training stores under harmless names comes back unchanged; numbers and bools under any name."""
    assert canonical_hyperparams(PLAIN_VALUES) == canonical(PLAIN_VALUES)


@pytest.mark.parametrize("value", SECRET_VALUES, ids=lambda value: next(iter(value)))
def test_secrets_in_values_go(value: dict[str, object]):
    """In nested mappings, lists, command lines, environments and reprs."""
    result = canonical_hyperparams(value)
    assert CANARY not in repr(result)
    assert REDACTED in repr(result)


def test_numbers_under_secret_keys_stay():
    """Under a secret key numbers of any size, bools and None stay: they say whether one was set."""
    values = canonical({"token": True, "hub_token": None, "secret": 3, "password": float("nan"), "api_key": 2**70})
    assert redact(values) == values
    assert redact({"credentials": {"user": "a"}, "tokens": ["a"]}) == {"credentials": REDACTED, "tokens": ["a"]}


def test_a_wandb_key_is_one_only_under_a_name():
    """40 hex digits are a commit too: they go where a name says key, and stay elsewhere."""
    assert redact({"wandb_key": HEX40, "WANDB_API_KEY": HEX40}) == {"wandb_key": REDACTED, "WANDB_API_KEY": REDACTED}
    assert redact({"commit": HEX40, "cache_key": HEX40, "x": f"at {HEX40}"}) == {
        "commit": HEX40,
        "cache_key": HEX40,
        "x": f"at {HEX40}",
    }


@pytest.mark.parametrize("text", [B62, B62[:16], HEX40, UUID, "a1B2c3D4e5F6g7H8"])
def test_random(text: str):
    """Letters and digits without words look drawn by lot."""
    assert looks_random(text)


@pytest.mark.parametrize(
    "text",
    ["", "a1", "checkpoint-500", "model.layers.0.self_attn.q_proj.weight", "Qwen2.5-0.5B-Instruct-v0.3",
     "opus-mt-en-de-2020-02-26", "LlamaForCausalLM2LongName", "2026-01-01T00:00:00+00:00", "1234567890123456789",
     "abcdefghijklmnopqrstuvwxyz", "two words 1a2b3c4d5e6f", "train_batch_size_per_device_16"],
)  # fmt: skip
def test_not_random(text: str):
    """Names, versions, dates, numbers and paths do not."""
    assert not looks_random(text)


PARTS = st.sampled_from(
    ["token", "api_key", "=", ":", " ", "'", '"', "\\", "--", "://", "@", "?", "&", "hunter2", HEX40, "hf_", "eyJ", "é",
     "sk-", "\n", "password", "Bearer ", "Cookie: ", "curl ", "-u", "-p", "-----BEGIN PRIVATE KEY-----", "[", "]",
     REDACTED]
)  # fmt: skip


@given(st.lists(PARTS, max_size=30).map("".join))
def test_any_text_is_redacted_for_good(text: str):
    """Whatever a text is made of nothing raises, and what was drawn by lot and named is never seen again."""
    assert B62 not in redact_text(f"{text}\napi_key={B62}")
    assert B62 not in redact_text(f"{text}\n--api-key {B62} x")


LONG = [
    "a" * 100_000, "a." * 50_000, "sk-" * 30_000, "eyJ-" * 25_000, "token" * 20_000, "://" * 30_000, "?a=" * 30_000,
    "a://b:" * 15_000, 'api_key="' * 11_000, 'api_key=\\"' * 10_000, "-----BEGIN PRIVATE KEY-----" * 4_000,
    "curl -u " * 12_000, "Bearer " * 14_000, "hf_" * 30_000, "cookie:" * 14_000, "mysql " * 16_000, "pwd" * 30_000,
    "\\" * 100_000 + "token=", "token=" * 16_000, "--token " * 12_000, "x-" * 50_000 + "token", "glpat-." * 14_000,
    "machine a login b " * 5_000, " " * 100_000 + "token=", "a=\\" * 30_000 + "token", "token=a(" * 12_000,
    "https://" + "x" * 100_000, "docker login -u " * 6_000, "authorization: " * 7_000, "api/webhooks/" * 8_000,
    "a://b:c/" * 12_000, "a://b:" + "c" * 50_000 + "/" + "d" * 50_000, "slack://" * 12_000,
    "\x1b[1m" * 25_000 + "token=", "1m\x1b[" * 20_000, "token is " * 11_000, "api key " * 12_000, "('a','" * 16_000,
    "wandb login " * 8_000, "--token', '" * 9_000,
    "\\n" * 50_000 + "key=", "token=`" * 14_000, "key: str | None " * 6_000,
    "1-" * 50_000 + " token=a" + "1-" * 50_000,
]  # fmt: skip


@pytest.mark.parametrize("text", LONG, ids=lambda text: text[-12:])
def test_no_text_takes_long(text: str, start_script: Callable[..., Any]):
    """100 kB made to lead the patterns astray are done, in a process whose deadline only ends a broken test."""
    script = start_script(
        """
        import sys
        from trainstore.redaction import redact_text
        redact_text(sys.stdin.read())
        print("done")
        """
    )
    script.process.stdin.write(text)
    script.process.stdin.close()
    script.wait_for("done", 60)
