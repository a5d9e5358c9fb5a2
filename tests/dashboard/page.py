"""A page as a browser has it: a table and curves, kept up to date by the answers of ``live`` alone."""

import math

import orjson

TIMELESS = {"duration"}  # goes on by itself while a run is running: the page counts on


class Page:
    """What is shown; `poll` asks as the page does each second, through JSON."""

    def __init__(self, answers, *, runs=(), metrics=("loss",), x="step", q=None, columns=("metric.loss",)):
        self.answers = answers
        self.metrics, self.x, self.q, self.columns = list(metrics), x, q, list(columns)
        self.table = {}
        self.count = 0
        self.version = None
        self.curves = {uid: {} for uid in runs}  # uid → metric → (x, y)
        self.drawn = dict.fromkeys(runs)  # uid → generation
        self.statuses = {}
        self.sent_columns = []
        self.points = {}  # uid → how many came with the last poll
        self.anew = set()  # runs that had to be fetched anew at the last poll

    def poll(self):
        """Ask, and put what comes into what is shown; the number of bytes of the answer."""
        asked = {
            "version": self.version,
            "q": self.q,
            "columns": self.columns,
            "runs": {uid: {"generation": self.drawn[uid], "status": self.statuses.get(uid)} for uid in self.curves},
            "metrics": self.metrics,
            "x": self.x,
        }
        sent = orjson.dumps(self.answers.live(**orjson.loads(orjson.dumps(asked))))
        answer = orjson.loads(sent)
        self.sent_columns = [column["id"] for column in (answer["table"] or {}).get("columns", ())]
        self._apply_table(answer["table"], answer["count"])
        self.version = answer["version"]
        self.points, self.anew = {}, set()
        for uid, news in answer["runs"].items():
            self._apply_run(uid, news)
        return len(sent)

    def _apply_table(self, table, count):
        self.count = count
        if table is None:
            return
        if table.get("anew"):
            whole = orjson.loads(orjson.dumps(self.answers.runs(q=self.q, columns=self.columns)))
            self.table = rows_of(whole["columns"])
            self.count = whole["count"]
            return
        for uid, row in rows_of(table["columns"]).items():
            self.table[uid] = {**self.table.get(uid, {}), **row}
        for uid in table["gone"]:
            self.table.pop(uid, None)

    def _apply_run(self, uid, news):
        if news.get("gone"):
            for place in (self.curves, self.drawn, self.statuses):
                place.pop(uid, None)
            return
        self.statuses[uid] = news["status"]
        if news["anew"]:
            self.anew.add(uid)
            self.fetch(uid)
            return
        if "generation" not in news:
            return
        low = news.get("replaces_from", math.inf)
        for metric in self.metrics:
            x, y = self.curves[uid].get(metric, ([], []))
            kept = [place for place, at in enumerate(x) if at < low]
            more = news["curves"].get(metric, {"x": [], "y": []})
            self.points[uid] = self.points.get(uid, 0) + len(more["x"])
            self.curves[uid][metric] = (
                [x[place] for place in kept] + more["x"],
                [y[place] for place in kept] + [float(value) for value in more["y"]],
            )
        self.drawn[uid] = news["generation"]

    def fetch(self, uid):
        """The curves of a run as they are drawn at first: so many buckets that each is a point."""
        self.curves[uid] = {}
        for curve in self.answers.series([uid], self.metrics, x=self.x, points=5_000):
            one = curve.buckets
            self.curves[uid][curve.head["metric"]] = ([*one.x, *one.odd_x], [*one.mean, *one.odd])
            self.drawn[uid] = curve.head["generation"]

    def shown(self):
        """The points of every curve that has some, comparable: NaN equals NaN."""
        return {
            uid: {metric: points_of(x, y) for metric, (x, y) in of_run.items() if x}
            for uid, of_run in self.curves.items()
        }


def rows_of(columns):
    """Column-wise rows by uid."""
    names = [column["id"] for column in columns if column["id"] not in TIMELESS]
    cells = zip(*(column["values"] for column in columns if column["id"] not in TIMELESS), strict=True)
    return {row["uid"]: row for row in (dict(zip(names, values, strict=True)) for values in cells)}


def points_of(x, y):
    """Points by x and value, as texts; a curve's points that are not finite come apart from the others."""
    return sorted((float(at), repr(float(value))) for at, value in zip(x, y, strict=True))
