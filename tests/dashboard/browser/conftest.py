"""Fixtures of the tests in a browser."""

from fixtures.browsers import browser, dashboard_of, open_page

__all__ = ["browser", "dashboard_of", "open_page"]
