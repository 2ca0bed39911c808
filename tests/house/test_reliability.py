"""docs/reliability.md says what the kept runs found, and none found a lie."""
import importlib.util

import tree

SPEC = importlib.util.spec_from_file_location(
    "reliability", tree.ROOT / "scripts/reliability.py")
reliability = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(reliability)


def test_the_page_is_what_the_runs_left():
    assert tree.text("docs/reliability.md") == reliability.page(
        reliability.results(), tree.text("docs/hosts.md"))


def test_no_kept_run_has_failed_or_was_told_a_wrong_status():
    kept = reliability.results()
    assert {"faults", "chaos", "load"} <= set(kept)
    for name, figures in kept.items():
        if name != "kernels":
            assert figures["failed"] == 0, name
            assert figures.get("wrong", 0) == 0, name


def test_a_run_keeps_what_it_says(tmp_path, monkeypatch):
    monkeypatch.setattr(reliability, "BUILD", tmp_path)
    reliability.keep("fuzz", ["inputs=1234567", "failed=0", "ms=1.5"])
    monkeypatch.setattr(reliability, "RESULTS", tmp_path)
    kept = reliability.results()["fuzz"]
    assert (kept["inputs"], kept["failed"], kept["ms"]) == (1234567, 0, 1.5)
    assert "1,234,567 inputs" in reliability.page(
        {"fuzz": kept}, tree.text("docs/hosts.md"))
