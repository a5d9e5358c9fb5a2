"""The API over HTTP: routes, arguments, limits, and errors that say what to do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from dashboard.serving import API, STEPS, client_of, columns_of, uid_of
from trainstore.dashboard import wire
from trainstore.dashboard.limits import LIMITS
from trainstore.dashboard.reading import Reading
from trainstore.dashboard.responses import GZIP_FROM
from trainstore.errors import SchemaMissingError, StoreUnavailableError
from trainstore.store import TrainStore

#: What may be asked of each read, with values that it takes.
READS = {
    "columns": {"project": "small", "q": ""},
    "runs": {"project": "small", "q": "", "columns": "name", "sort": "name", "offset": "0", "limit": "1"},
    "series": {
        "runs": "run 1",
        "metrics": "loss",
        "x": "step",
        "lo": "0",
        "hi": "9",
        "points": "9",
        "exact": "1",
        "attempts": "current",
    },
    "group": {"metric": "loss", "by": "project", "groups": "run 1,run 2", "q": "", "band": "std", "runs": "run 1"},
    "compare": {"runs": "run 1", "all": "1"},
    "samples": {"runs": "run 1", "name": "test"},
    "export": {"runs": "run 1", "table": "runs", "format": "csv"},
}
NONSENSE = (
    "",
    "\0",
    "%",
    "' OR 1=1 --",
    "é\u202e\U0001f600",
    "<script>",
    "((((",
    "hp.lr <",
    "-1",
    "1e999",
    "9" * 40,
    "NaN",
    "a" * 5_000,
    "*",
    "metric.",
    '"',
    "id:1",
)


def error_of(answer) -> dict:
    """The error in an answer, which has all that one has."""
    error = answer.json()["error"]
    assert {"code", "message", "hint"} <= error.keys()
    assert error["message"]
    return error


def test_the_page_and_its_files_are_served(api: TestClient):
    """The page names its files with their version, and a browser may keep them."""
    page = api.get("/")
    assert page.status_code == 200
    assert page.headers["cache-control"] == "no-cache"
    (script,) = [part.split('"')[0] for part in page.text.split('src="')[1:]]
    found = api.get(f"/{script}")
    assert found.status_code == 200
    assert "immutable" in found.headers["cache-control"]
    assert found.headers["content-type"].startswith("text/javascript")


def test_the_page_names_all_of_its_modules(api: TestClient):
    """So that a browser need not follow imports, one after another; packed for it, each is what it is otherwise."""
    page = api.get("/").text
    named = re.findall(r'<link rel="modulepreload" href="([^"]+)">', page)
    imported = set()
    for address in named:
        packed = api.get(f"/{address}", headers={"Accept-Encoding": "gzip"})
        plain = api.get(f"/{address}", headers={"Accept-Encoding": "identity"})
        assert (packed.headers["content-encoding"], packed.text) == ("gzip", plain.text)
        imported |= set(re.findall(r'from "\./([\w.-]+)";', plain.text))
    names = [address.rpartition("/")[2] for address in named]
    assert len(set(names)) == len(names) > 10
    assert set(names) == imported | {"main.js"}


def test_only_the_files_of_the_page_are_served(api: TestClient):
    """No other file can be asked for, whatever the address says, nor one of another version."""
    folder = api.get("/").text.split('src="')[1].partition('"')[0].rpartition("/")[0]
    for name in ("index.html", "../app.py", "..%2fapp.py", "%2e%2e%2fapp.py", "..\\app.py", "/etc/passwd", "x.js", ""):
        assert api.get(f"/{folder}/{name}").status_code == 404, name
    assert api.get("/assets/0000/main.js").status_code == 404
    assert api.get("/assets/../../pyproject.toml").status_code == 404


def test_the_store_is_described(api: TestClient):
    """`meta` has the projects with their runs, and the limits."""
    meta = api.get(f"{API}/meta").json()
    assert [(project["name"], project["runs"]) for project in meta["projects"]] == [("large", 1), ("small", 2)]
    assert meta["can_edit"] is False
    assert meta["limits"] == LIMITS


def test_a_table_is_paged_sorted_and_filtered(api: TestClient):
    """`runs` takes what the page asks for, in its address or in a body."""
    asked = {"q": "hp.lr < 1", "columns": ["metric.loss", "hp.lr"], "sort": ["-metric.loss"], "limit": 1}
    for answer in (api.get(f"{API}/runs", params=asked), api.post(f"{API}/runs", json=asked)):
        table = answer.json()
        columns = columns_of(table)
        assert table["count"] == 2
        assert columns["name"] == ["run 2"]
        assert columns["hp.lr"] == [0.01]
    newest = api.get(f"{API}/runs", params={"limit": 1, "offset": 1}).json()
    assert columns_of(newest)["name"] == ["run 1"]


@pytest.mark.parametrize("route", ["runs", "columns"])
def test_a_table_is_sent_once_for_each_version(own_api: TestClient, recorded_url: str, route: str):
    """Who has the version of a table is told so, until something is recorded or edited."""
    first = own_api.get(f"{API}/{route}")
    etag = first.headers["etag"]
    again = own_api.get(f"{API}/{route}", headers={"If-None-Match": f'"other", W/{etag}'})
    assert (again.status_code, again.content) == (304, b"")
    with TrainStore(recorded_url) as store:
        store.set_tags("run 0", {"another": 1})
    changed = own_api.get(f"{API}/{route}", params={"columns": "*"} if route == "runs" else {})
    assert changed.headers["etag"] != etag
    assert "tag.another" in [column["id"] for column in changed.json()["columns"]]
    assert own_api.get(f"{API}/{route}", headers={"If-None-Match": etag}).status_code == 200


def test_what_a_filter_finds_is_asked_for_anew(api: TestClient):
    """It may depend on the time, which no version counts."""
    query = {"q": "started > -1h"}
    etag = api.get(f"{API}/runs", params=query).headers["etag"]
    assert api.get(f"{API}/runs", params=query, headers={"If-None-Match": etag}).status_code == 200


def test_the_columns_of_a_table_are_listed(api: TestClient):
    """Each says whether it tells the runs of the filter apart."""
    varies = {column["id"]: column["varies"] for column in api.get(f"{API}/columns").json()["columns"]}
    assert varies["hp.lr"]
    of_one = api.get(f"{API}/columns", params={"project": "large"}).json()
    assert of_one["count"] == 1
    assert not next(column["varies"] for column in of_one["columns"] if column["id"] == "hp.lr")


def test_a_run_is_shown_in_full(api: TestClient):
    """With what the page of a run needs."""
    uid = uid_of(api, "run 2")
    found = api.get(f"{API}/runs/{uid}").json()
    assert found["run"]["name"] == "run 2"
    assert found["run"]["tags"] == {"good": True}
    assert [row["count"] for row in found["summary"]] == [STEPS, STEPS]


def test_curves_come_as_a_frame_and_as_json(api: TestClient):
    """Both hold the same."""
    asked = {"runs": uid_of(api, "run 2"), "metrics": ["loss", "accuracy"], "points": 10, "exact": 1}
    frame = wire.of_frame(api.get(f"{API}/series", params=asked).content)
    plain = api.get(f"{API}/series", params=asked | {"format": "json"}).json()
    assert [curve.head["metric"] for curve in frame] == [curve["metric"] for curve in plain] == ["loss", "accuracy"]
    assert [len(curve.buckets) for curve in frame] == [10, 10]
    assert frame[0].buckets.mean.tolist() == plain[0]["mean"]
    assert plain[1]["odd"] == ["NaN"]


def test_groups_of_runs_are_averaged(api: TestClient):
    """By columns of the table, or groups that the client has made up."""
    asked = {"metric": "loss", "by": "project", "band": "range", "format": "json"}
    by_project = api.get(f"{API}/group", params=asked).json()
    assert [(curve["group"], curve["runs"]) for curve in by_project] == [(["large"], 1), (["small"], 2)]
    uids = [uid_of(api, name) for name in ("run 1", "run 2")]
    for answer in (
        api.get(f"{API}/group", params={"metric": "loss", "groups": ",".join(uids), "format": "json"}),
        api.post(f"{API}/group", json={"metrics": ["loss"], "groups": [uids], "format": "json"}),
    ):
        (curve,) = answer.json()
        assert curve["runs"] == 2
        assert curve["mean"] == by_project[1]["mean"]


def test_runs_are_compared_and_their_samples_are_read(api: TestClient):
    """Column by column, as the table."""
    uids = [uid_of(api, name) for name in ("run 1", "run 2")]
    differences = columns_of(api.get(f"{API}/compare", params={"runs": uids}).json())
    assert differences[uids[0]][differences["key"].index("hp.lr")] == 0.1
    samples = columns_of(api.get(f"{API}/samples", params={"runs": uids}).json())
    assert samples["completion"] == ["b"]


def test_a_long_answer_is_packed_if_the_client_can_unpack_it(api: TestClient, monkeypatch: pytest.MonkeyPatch):
    """It is the same answer then; a short one is not packed."""
    answers = {}
    for limit in (GZIP_FROM, 10):
        monkeypatch.setattr("trainstore.dashboard.responses.GZIP_FROM", limit)
        for accepted in ("identity", "gzip"):
            answers[limit, accepted] = api.get(f"{API}/columns", headers={"Accept-Encoding": accepted})
    packed = answers.pop((10, "gzip"))
    assert packed.headers["content-encoding"] == "gzip"
    for answer in answers.values():
        assert "content-encoding" not in answer.headers
        assert answer.content == packed.content


@pytest.mark.parametrize("table", ["steps", "runs", "events"])
def test_runs_are_downloaded(api: TestClient, table: str):
    """As a file, whole, in both formats; a name that a spreadsheet would take for a formula is a text."""
    uids = [uid_of(api, name) for name in ("run 1", "run 2")]
    csv = api.get(f"{API}/export", params={"runs": uids, "table": table})
    assert csv.headers["content-disposition"] == f'attachment; filename="trainstore-{table}.csv"'
    lines = csv.text.splitlines()
    jsonl = api.get(f"{API}/export", params={"runs": uids, "table": table, "format": "jsonl"})
    rows = [json.loads(line) for line in jsonl.text.splitlines()]
    assert len(rows) == len(lines) - 1 > 0
    if table == "steps":
        assert len(rows) == 2 * STEPS
    for _ in range(5):  # each has given its place back
        assert api.get(f"{API}/export", params={"table": table}).status_code == 200
    assert api.get(f"{API}/export", params={"runs": "nobody"}).status_code == 404
    assert api.get(f"{API}/export", params={"q": "hp.nope <"}).status_code == 400
    only = api.get(f"{API}/export", params={"project": "small", "q": 'name = "run 2"', "table": "runs"})
    assert len(only.text.splitlines()) == 2
    assert api.get(f"{API}/export", params={"runs": uids}).status_code == 200


def test_what_is_new_is_told(own_api: TestClient, recorded_url: str):
    """A page says what it has, and gets the rest."""
    uid = uid_of(own_api, "run 2")
    table = own_api.get(f"{API}/runs").json()
    (curve,) = own_api.get(
        f"{API}/series", params={"runs": uid, "metrics": "loss", "format": "json", "exact": 1}
    ).json()
    asked = {
        "version": table["version"],
        "columns": ["name"],
        "runs": {uid: {"generation": curve["generation"], "status": "finished"}},
        "metrics": ["loss"],
    }
    nothing = own_api.post(f"{API}/live", json=asked).json()
    assert (nothing["version"], nothing["count"], nothing["runs"]) == (table["version"], 3, {})
    with TrainStore(recorded_url) as store, store.resume_run(uid) as run:
        run.log({"loss": 9.0})
    new = own_api.post(f"{API}/live", json=asked).json()
    assert new["version"] != table["version"]
    assert columns_of(new["table"])["uid"] == [uid]
    assert new["runs"][uid]["curves"]["loss"]["y"][-1] == 9.0


def test_the_store_is_well(api: TestClient):
    """`health` says what ``trainstore doctor`` finds."""
    findings = api.get(f"{API}/health").json()["findings"]
    assert {finding["level"] for finding in findings} <= {"ok", "warning", "error"}
    assert {"schema", "runs"} <= {finding["check"] for finding in findings}


# --- What is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "status", "code", "words"),
    [
        ("runs?q=hp.lr+<", 400, "filter", "a value after <"),
        ("runs?q=hp.learning_rte+%3C+1", 400, "filter", "learning_rte"),
        ("runs?sort=nonsense.x", 400, "filter", "nonsense"),
        ("runs?colums=name", 400, "argument", "colums"),
        ("runs?limit=20001", 413, "limit", "20,000"),
        ("runs?limit=-1", 400, "argument", "limit=-1"),
        ("runs?limit=many", 400, "argument", "many"),
        ("runs?q=a&q=b", 400, "argument", "2 times"),
        ("runs/nobody", 404, "run", "nobody"),
        ("series?metrics=loss", 400, "argument", "runs"),
        ("series?runs=x&metrics=loss&points=5001", 413, "limit", "5,000"),
        ("series?runs=x&metrics=loss&points=0", 400, "argument", "points"),
        ("series?runs=x&metrics=loss&lo=2&hi=1", 400, "argument", "above"),
        ("series?runs=x&metrics=loss&lo=nan", 400, "argument", "finite"),
        ("series?runs=x&metrics=loss&exact=yes", 400, "argument", "yes"),
        ("series?runs=x&metrics=loss&attempts=all", 400, "argument", "superseded"),
        ("group?metric=loss&band=wide", 400, "argument", "wide"),
        ("series?runs=x&metrics=loss&format=csv", 400, "argument", "csv"),
        ("series?runs=nobody&metrics=loss", 404, "run", "nobody"),
        ("export?format=pdf", 400, "argument", "pdf"),
        ("export?table=all", 400, "argument", "all"),
        ("nothing", 404, "path", "page"),
    ],
)
def test_a_request_that_cannot_be_answered_is_told_why(api: TestClient, asked: str, status: int, code: str, words: str):
    """The error names the value, and says what to do."""
    answer = api.get(f"{API}/{asked}")
    error = error_of(answer)
    assert (answer.status_code, error["code"]) == (status, code)
    assert words in error["message"]


@pytest.mark.parametrize(("route", "more"), [("export", {}), ("group", {"metrics": ["loss"]}), ("compare", {})])
def test_no_runs_are_not_all_runs(api: TestClient, route: str, more: dict[str, object]):
    """A program that has chosen nothing does not get everything."""
    answer = api.post(f"{API}/{route}", json={"runs": [], **more})
    assert (answer.status_code, error_of(answer)["code"]) == (400, "argument")
    assert "runs" in error_of(answer)["message"]


def test_an_error_in_a_filter_has_its_place(api: TestClient):
    """The field of the page marks it."""
    error = error_of(api.get(f"{API}/runs", params={"q": "status = finished and hp.nope < 1"}))
    assert error["position"] == "status = finished and hp.nope < 1".index("hp.nope")


@pytest.mark.parametrize(("name", "limit"), [("runs", "curves_runs"), ("metrics", "curves_metrics")])
def test_more_than_one_answer_holds_is_refused(api: TestClient, name: str, limit: str):
    """The limit is named."""
    asked = {"runs": ["x"], "metrics": ["loss"]} | {name: ["x"] * (LIMITS[limit] + 1)}
    answer = api.post(f"{API}/series", json=asked)
    assert answer.status_code == 413
    assert str(LIMITS[limit]) in error_of(answer)["message"]


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{", 400), (b"[]", 400), (b'"x"', 400), (b'{"runs": "\xff"}', 400), (b" " * 70_000, 413)],
)
def test_a_body_that_is_no_object_is_refused(api: TestClient, body: bytes, status: int):
    """So is one that is too long."""
    answer = api.post(f"{API}/series", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert error_of(answer)["code"] in ("body", "limit")


@pytest.mark.parametrize(("route", "usual"), READS.items())
def test_nonsense_never_makes_the_server_fail(api: TestClient, route: str, usual: dict[str, object]):
    """Whatever stands in an argument, the answer is an answer or says what is wrong with it."""
    for name in usual:
        for value in NONSENSE:
            answer = api.get(f"{API}/{route}", params=usual | {name: value})
            assert answer.status_code in (200, 400, 404, 413), (name, value, answer.text)
        for odd in (None, True, 1.5, {}, [[]], [None], ["a", 1]):
            answer = api.post(f"{API}/{route}", json=usual | {name: odd})
            assert answer.status_code in (200, 400, 404, 413), (name, odd, answer.text)


def test_what_is_no_read_is_refused(api: TestClient):
    """Nothing can be deleted or replaced, and nobody is told that another site may ask."""
    uid = uid_of(api, "run 0")
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE"):
        answer = api.request(method, f"{API}/runs/{uid}", headers={"Content-Type": "application/json"})
        assert answer.status_code == 405, method
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert api.head(f"{API}/meta").status_code == 200


@pytest.mark.parametrize("version", [None, "", "x", 1, [], {}, "9" * 50, "\0"])
def test_a_page_with_the_version_of_nothing_is_told_to_begin_anew(api: TestClient, version: object):
    """Whatever it believes to have."""
    told = api.post(f"{API}/live", json={"version": version, "columns": ["name"]})
    assert told.status_code == 200, told.text
    assert told.json()["table"] == {"anew": True}


# --- Stores ----------------------------------------------------------------------------------------------------------


def test_an_empty_store_is_shown(database_url: str):
    """There is just nothing in it."""
    reading = Reading(database_url)
    api = client_of(reading)
    assert api.get(f"{API}/meta").json()["runs"] == 0
    table = api.get(f"{API}/runs").json()
    assert table["count"] == 0
    assert columns_of(table)["uid"] == []
    reading.close()


def test_a_database_without_a_store_is_an_error(empty_database_url: str):
    """Nothing is created."""
    with pytest.raises((StoreUnavailableError, SchemaMissingError)):
        Reading(empty_database_url)
    if empty_database_url.startswith("sqlite"):
        assert not Path(empty_database_url.removeprefix("sqlite:///")).exists()


def test_what_is_recorded_meanwhile_is_shown(own_api: TestClient, recorded_url: str):
    """The next answer has it."""
    with TrainStore(recorded_url) as store:
        with store.start_run(name="new") as run:
            run.log({"loss": 1.0})
        assert columns_of(own_api.get(f"{API}/runs").json())["name"][0] == "new"


def test_live_answers_what_is_new(own_api: TestClient):
    """At first everything is; after that nothing, in a few bytes."""
    uid = uid_of(own_api, "run 1")
    asked = {
        "version": None,
        "project": "small",
        "columns": ["name"],
        "runs": {uid: {}},
        "metrics": ["loss"],
        "x": "step",
    }
    first = own_api.post(f"{API}/live", json=asked).json()
    assert first["table"] == {"anew": True}
    assert first["count"] == 2
    assert first["runs"][uid] == {"status": "finished", "anew": True, "curves": {}}
    (head, *_) = own_api.get(f"{API}/series", params={"runs": uid, "metrics": "loss", "format": "json"}).json()
    has = {uid: {"generation": head["generation"], "status": "finished"}}
    again = own_api.post(f"{API}/live", json={**asked, "version": first["version"], "runs": has})
    assert again.json() == {**first, "table": None, "runs": {}}
    assert len(again.content) < 150


def test_live_without_a_table_or_runs_has_the_version_alone(api: TestClient):
    """As a page asks that shows neither."""
    answer = api.post(f"{API}/live", json={}).json()
    assert answer["version"]
    assert (answer["table"], answer["count"], answer["runs"], answer["running"]) == (None, None, {}, 0)


def test_live_refuses_what_it_cannot_read(api: TestClient):
    """With the name of what is wrong."""
    for asked, told in (
        ({"runs": ["a"]}, "runs is a JSON list"),
        ({"runs": {"a": 1}}, "is not what a page has"),
        ({"metrics": [1]}, "metrics"),
        ({"columns": ["name"], "q": "hp.lr <"}, "filter"),
        ({"nothing": 1}, "nothing"),
        ({"columns": "name", "project": ["a", "b"]}, "project"),
    ):
        answer = api.post(f"{API}/live", json=asked)
        assert answer.status_code == 400
        assert told in error_of(answer)["message"]
    assert api.get(f"{API}/live").status_code == 405
