"""The tests in a browser fail if a page does what it must not: what they watch for is really seen."""

import pytest

from fixtures.browsers import Watch, wait_until

ORIGIN = "http://127.0.0.1:1"

HARM = {
    "a message": ("<script>console.warn('careful')</script>", "warning: careful"),
    "an error": ("<script>setTimeout(() => { throw new Error('broken') })</script>", "uncaught: Error: broken"),
    "a lost promise": ("<script>Promise.reject(new Error('lost'))</script>", "uncaught: Error: lost"),
    "another origin": ("<img src='http://127.0.0.2:1/x.png'>", "request to elsewhere: http://127.0.0.2:1/x.png"),
    "the policy": (
        "<meta http-equiv=Content-Security-Policy content=\"img-src 'none'\">"
        "<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>",
        "error: policy: img-src",
    ),
}


@pytest.mark.parametrize("harm", HARM)
def test_what_a_page_may_not_do_is_seen(browser, harm):
    """Each kind, in a page that does nothing else."""
    markup, problem = HARM[harm]
    context = browser.new_context()
    page = context.new_page()
    watch = Watch(page, ORIGIN)
    page.route(f"{ORIGIN}/", lambda route: route.fulfill(body=f"<title>x</title>{markup}", content_type="text/html"))
    page.goto(f"{ORIGIN}/")
    wait_until(page, lambda: any(problem in line for line in watch.problems))
    context.close()


def test_what_a_test_expects_is_let_through(browser):
    """And nothing else."""
    context = browser.new_context()
    page = context.new_page()
    watch = Watch(page, ORIGIN)
    watch.allowed.append("status of 503")
    page.set_content("<script>console.log('status of 503'); console.log('status of 500')</script>")
    assert [line.split(" (")[0] for line in watch.problems] == ["log: status of 500"]
    context.close()
