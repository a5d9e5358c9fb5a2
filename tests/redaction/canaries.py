"""Secrets that must never come to light, wherever a user can put one. Producers load this too: it needs no library."""

from __future__ import annotations

from typing import Any

from redaction.corpus import CANARY

TOKEN = "hf_" + "q8ZtR41kLmP0vX7sD2wNb5Yc9GhJ3fTu6a"
LEAKS = (CANARY, TOKEN, TOKEN[3:20])
URL = f"https://me:{CANARY}@example.org/x?token={CANARY}&page=2"
COMMAND = f"HF_TOKEN={CANARY} python train.py --api-key {CANARY} --password={CANARY}"
NESTED = {"deep": [{"hub_token": CANARY, "remote": URL}, COMMAND, f"see {TOKEN}", ["--api-key", CANARY]], "lr": 0.1}


class Odd:
    """No JSON; its repr holds a secret."""

    def __repr__(self) -> str:
        return f"Odd(api_key='{CANARY}', url='{URL}')"


def log_canaries(run: Any, store: Any = None) -> None:
    """Secrets wherever a user can put one, in what goes through the journal; with a store, directly too."""
    run.log_hyperparams({"hub_token": CANARY, "nested": NESTED, "odd": Odd(), URL: 1, "nul": f"\x00 {TOKEN}"})
    run.set_tags({"remote": URL, "api_key": CANARY, f"tag {TOKEN}": True})
    run.set_notes(f"{COMMAND}\n{URL}\npassword: {CANARY}")
    run.log_event("canary", details={"command": COMMAND, "env": {"HF_TOKEN": CANARY}, "odd": Odd(), "nested": NESTED})
    run.log_event(f"kind {TOKEN}", details=[URL])
    run.log([URL, TOKEN])
    run.log({"text": TOKEN}, step=TOKEN)
    if store is not None:
        with store.start_run(project=f"p {TOKEN}", name=f"n {URL}", notes=COMMAND) as other:
            other.log({"sample": f"it said {TOKEN}", "config": NESTED}, step=0, details=NESTED)


def everything_stored(store: Any) -> str:
    """Every value of every table, as text."""
    from sqlalchemy import select

    with store.engine.connect() as connection:
        tables = store.models.metadata.tables.values()
        return "\n".join(repr(tuple(row)) for table in tables for row in connection.execute(select(table)))
