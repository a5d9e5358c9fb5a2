"""Names the fixture modules; the fixtures themselves stand there."""

pytest_plugins = ["fixtures.databases", "fixtures.processes", "fixtures.revisions"]
