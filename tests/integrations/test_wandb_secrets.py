"""No word of W&B's brings a secret into a store."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from fixtures.adapter_tests import SECRET, only_run
from redaction.canaries import everything_stored
from trainstore import TrainStore
from trainstore.integrations import wandb

URL = f"https://me:{SECRET}@example.org/x?token={SECRET}"


def use_every_word(store: TrainStore) -> None:
    """A script that fails at its end."""
    wandb.login(key=SECRET, host=URL)
    settings = wandb.Settings(api_key=SECRET, base_url=URL, run_group=f"g token={SECRET}", _service_token=SECRET)
    config: dict[str, Any] = {"env": {"WANDB_API_KEY": SECRET}, "storage": f"mysql://root:{SECRET}@db/x"}
    config["args"] = ["--hub_token", SECRET]
    with wandb.init(store=store, settings=settings, config=config, name=f"n {URL}") as run:
        run.config.update({"nested": {"deep": [{"client_secret": SECRET}]}, "command": f"x --api-key {SECRET}"})
        run.config["late"] = f"password: {SECRET}"
        run.notes = f"token={SECRET}"
        run.tags += (f"HF_TOKEN={SECRET}",)
        run.log({"loss": 1.0, "said": f"token={SECRET}", "page": wandb.Html(f"<a href='{URL}'>api_key={SECRET}</a>")})
        run.log({"table": wandb.Table(columns=["step", "error"], data=[[1, f"api_key: {SECRET}"]])})
        artifact = wandb.Artifact(f"a token={SECRET}", "dataset", description=URL, metadata={"password": SECRET})
        artifact.add_reference(URL)
        run.log_artifact(artifact)
        run.summary["best"] = f"token={SECRET}"
        run.alert(f"cannot reach {URL}", f"Authorization: Bearer {SECRET}")
        run.save(URL)
        raise RuntimeError(f"401 for {URL} api_key={SECRET}")


def test_no_word_brings_a_secret(
    store: TrainStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    """Keys for the server, settings, configuration, notes, alerts, tables, media, artifacts, the summary, a failure."""
    caplog.set_level(logging.DEBUG)
    for name in ("WANDB_API_KEY", "HF_TOKEN"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("WANDB_NOTES", f"see {URL}")
    monkeypatch.setenv("WANDB_TAGS", f"api_key={SECRET},b")
    with pytest.raises(RuntimeError, match="401"):
        use_every_word(store)
    stored = everything_stored(store)
    assert stored.count("[redacted]") > 15
    assert SECRET not in stored
    assert SECRET not in caplog.text
    assert SECRET not in "".join(capfd.readouterr())
    assert only_run(store).error == (
        "RuntimeError: 401 for https://me:[redacted]@example.org/x?token=[redacted] api_key=[redacted]"
    )


def test_a_sweep_brings_none(store: TrainStore) -> None:
    """What an agent's function is given."""
    with wandb.init(store=store, config={"method": "grid", "parameters": {"hub_token": {"values": [SECRET]}}}):
        assert wandb.config["parameters"]["hub_token"]["values"] == [SECRET]  # the live configuration stays as it is
    assert SECRET not in everything_stored(store)
