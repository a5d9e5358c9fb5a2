"""Fixtures of the tests in a browser, and which of them are the short form that `make test` runs."""

import os

from fixtures.browsers import browser, dashboard_of, open_page

__all__ = ["browser", "dashboard_of", "open_page"]

#: At least one test of everything that only a browser can show. The others are the long form: `make test-browser`.
SHORT = {
    "test_watch": None,  # all
    "test_runs_page": (
        "test_the_newest_runs_are_there_and_drawn",
        "test_a_filter_is_applied_kept_in_the_address_and_taken_back",
        "test_a_filter_that_cannot_be_read_says_where",
        "test_columns_sort_both_ways_and_what_is_missing_stays_last",
        "test_groups_tell_mean_and_deviation_and_open",
        "test_an_address_is_a_whole_state",
        "test_everything_can_be_done_by_keys",
    ),
    "test_runs_table": ("test_only_rows_in_view_exist_and_all_can_be_reached",),
    "test_charts": (
        "test_dragging_zooms_all_charts_and_fetches_the_range",
        "test_pointing_shows_a_line_in_all_charts_and_the_nearest_runs",
        "test_a_chart_is_read_by_keys",
        "test_groups_are_drawn_as_a_mean_and_a_band_with_a_legend",
        "test_curves_over_another_axis[loss]",
        "test_a_picture_can_be_taken_away",
    ),
    "test_run_page": (
        "test_the_head_says_what_a_run_is[sqlite]",
        "test_curves_have_attempts_and_what_happened_on_their_axis",
        "test_what_a_resume_replaced_is_drawn_on_request",
    ),
    "test_run_live": (
        "test_a_killed_run_goes_on_under_the_readers_eyes[postgresql]",
        "test_a_run_is_edited_and_a_conflict_is_told[sqlite]",
    ),
    "test_live_page": (
        "test_a_training_is_seen_killed_and_resumed[sqlite]",
        "test_a_store_that_goes_away_and_comes_back",
    ),
    "test_compare_page": (
        "test_the_others_are_shown_against_a_baseline",
        "test_a_brushed_range_becomes_the_filter",
        "test_points_are_read_and_opened_by_keys",
    ),
    "test_all_pages": (
        "test_a_page_is_for_every_eye[runs-8]",
        "test_a_page_is_for_every_eye[run-8]",
        "test_a_page_is_for_every_eye[compare-8]",
        "test_no_name_becomes_markup[runs]",
    ),
    "test_report_page": (
        "test_every_page_opens_from_the_disk[runs-eight]",
        "test_every_page_opens_from_the_disk[run-markup]",
    ),
    "test_other_sites": ("test_a_page_of_another_site_learns_nothing[a request]", "test_the_token_leaves_the_address"),
}


def pytest_collection_modifyitems(config, items):
    """Leave the long form out if that is asked for."""
    if os.environ.get("TRAINSTORE_TEST_BROWSER") != "short":
        return
    pages = [item for item in items if item.path.parent == config.rootpath / "tests" / "dashboard" / "browser"]
    left_out = [item for item in pages if not _is_short(item)]
    items[:] = [item for item in items if item not in set(left_out)]
    config.hook.pytest_deselected(items=left_out)


def _is_short(item):
    named = SHORT.get(item.path.stem, ())
    return named is None or item.name in named
