"""docs/kernels.md has the table that the last run on Debian's kernels left."""
import sys

import tree

sys.path.insert(0, str(tree.ROOT / "tests" / "kernels"))

import page as kernels_page  # noqa: E402


def test_the_table_is_what_the_last_run_left():
    text = tree.text("docs/kernels.md")
    assert kernels_page.page(text, kernels_page.load()) == text


def test_a_run_that_failed_is_not_kept():
    runs = kernels_page.load()
    assert [r["release"] for r in runs] == list(kernels_page.RELEASES)
    for run in runs:
        assert run["failed"] == [], run["uname"]
        assert run["facts"] and run["pressure"]
        for name, (passed, failed, _) in run["suites"].items():
            assert passed > 0 and failed == 0, (run["uname"], name)


def test_no_status_was_wrong_and_what_is_lost_needs_a_newer_kernel():
    for run in kernels_page.load():
        facts = run["facts"]
        told = "exact" if facts["exit status by pidfd"] == "yes" else "LOST"
        assert facts["status that another wait took"] == told
        assert facts["status of an adopted process"] == told
        assert facts["rest of a group after its leader"] == "ended"
