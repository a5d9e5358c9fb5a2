"""Edits from the page: only where they are allowed, all or none, and only of what the page has seen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from dashboard.serving import API, client_of, uid_of
from trainstore.dashboard.reading import Reading
from trainstore.store import TrainStore


@pytest.fixture
def editing(recorded_url: str) -> Iterator[TestClient]:
    """A client of a dashboard that may edit."""
    reading = Reading(recorded_url, can_edit=True)
    yield client_of(reading)
    reading.close()


def test_a_run_is_edited(editing: TestClient, recorded_url: str):
    """Name, notes and tags; tags that are not named stay. The store has events of it."""
    uid = uid_of(editing, "run 2")
    assert editing.get(f"{API}/meta").json()["can_edit"] is True
    before = editing.get(f"{API}/runs/{uid}").json()
    change = {"name": "best", "notes": "look\nhere", "tags": {"level": 3, "nobody": None}}
    answer = editing.patch(f"{API}/runs/{uid}", json=change, headers={"If-Match": before["etag"]})
    after = answer.json()
    assert answer.status_code == 200
    assert after["run"]["name"] == "best"
    assert after["run"]["notes"] == "look\nhere"
    assert after["run"]["tags"] == {"good": True, "level": 3}
    assert after["etag"] != before["etag"]
    with TrainStore(recorded_url, read_only=True) as store:
        assert store.get_run(uid).name == "best"
        assert {"rename", "note", "tag"} <= set(store.list_events(uid)["kind"])
    removed = {"notes": None, "tags": {"good": None, "level": None}}
    last = editing.patch(f"{API}/runs/{uid}", json=removed, headers={"If-Match": f'"{after["etag"]}"'}).json()
    assert (last["run"]["notes"], last["run"]["tags"]) in [(None, {}), ("", {})]


def test_a_run_is_edited_by_whatever_names_it(editing: TestClient):
    """As it is read; also by the name that it loses: the answer is that run."""
    uid = uid_of(editing, "run 1")
    number = editing.get(f"{API}/runs/{uid}").json()["run"]["id"]
    for named, name in (("run 1", "first"), (uid[:8], "second"), (f"id:{number}", "third")):
        assert editing.get(f"{API}/runs/{named}").json()["run"]["uid"] == uid
        answer = editing.patch(f"{API}/runs/{named}", json={"name": name}, headers={"If-Match": "*"})
        assert answer.status_code == 200, answer.text
        assert (answer.json()["run"]["uid"], answer.json()["run"]["name"]) == (uid, name)


def test_only_the_etag_of_the_answer_stands_for_a_run(editing: TestClient):
    """The answer has no header ETag: it also holds steps and clocks. A weak tag is none that an edit may rely on."""
    uid = uid_of(editing, "run 1")
    read = editing.get(f"{API}/runs/{uid}")
    assert "etag" not in read.headers
    weak = {"If-Match": f'W/"{read.json()["etag"]}"'}
    assert editing.patch(f"{API}/runs/{uid}", json={"name": "x"}, headers=weak).status_code == 412
    assert editing.get(f"{API}/runs/{uid}").json()["run"]["name"] == "run 1"


def test_an_edit_of_something_older_is_refused(editing: TestClient, recorded_url: str):
    """Nothing of it is stored."""
    uid = uid_of(editing, "run 1")
    etag = editing.get(f"{API}/runs/{uid}").json()["etag"]
    with TrainStore(recorded_url) as store:
        store.set_notes(uid, "somebody else's")
    change = {"notes": "mine", "tags": {"mine": 1}}
    answer = editing.patch(f"{API}/runs/{uid}", json=change, headers={"If-Match": etag})
    assert answer.status_code == 412
    found = editing.get(f"{API}/runs/{uid}").json()
    assert (found["run"]["notes"], found["run"]["tags"]) == ("somebody else's", {})
    assert editing.patch(f"{API}/runs/{uid}", json=change, headers={"If-Match": "*"}).status_code == 200


def test_nothing_is_edited_without_the_option(api: TestClient):
    """The error says which one."""
    uid = uid_of(api, "run 1")
    answer = api.patch(f"{API}/runs/{uid}", json={"name": "x"}, headers={"If-Match": "*"})
    assert answer.status_code == 403
    assert "--edit" in answer.json()["error"]["hint"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 400),
        ({"name": ""}, 400),
        ({"name": None}, 400),
        ({"name": 1}, 400),
        ({"notes": 1}, 400),
        ({"tags": ["a"]}, 400),
        ({"status": "finished"}, 400),
        ({"name": "\ud800"}, 400),
    ],
)
def test_an_edit_that_makes_no_sense_changes_nothing(editing: TestClient, change: dict, status: int):
    """The error names what is wrong."""
    import json

    uid = uid_of(editing, "run 1")
    before = editing.get(f"{API}/runs/{uid}").json()
    headers = {"If-Match": "*", "Content-Type": "application/json"}
    answer = editing.patch(f"{API}/runs/{uid}", content=json.dumps(change), headers=headers)
    assert answer.status_code == status, answer.text
    assert editing.get(f"{API}/runs/{uid}").json()["etag"] == before["etag"]


def test_an_edit_needs_what_it_was_made_from(editing: TestClient):
    """And a run that is there."""
    uid = uid_of(editing, "run 1")
    assert editing.patch(f"{API}/runs/{uid}", json={"name": "x"}).status_code == 428
    answer = editing.patch(f"{API}/runs/nobody", json={"name": "x"}, headers={"If-Match": "*"})
    assert answer.status_code == 404


def test_secrets_in_an_edit_are_not_stored(editing: TestClient):
    """As with edits from Python."""
    uid = uid_of(editing, "run 1")
    secret = "hf_" + "a1B2" * 9
    change = {"notes": f"token {secret}", "name": f"name {secret}", "tags": {"key": secret}}
    answer = editing.patch(f"{API}/runs/{uid}", json=change, headers={"If-Match": "*"})
    assert answer.status_code == 200
    assert secret not in answer.text
