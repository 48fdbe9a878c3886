# SPDX-License-Identifier: MIT
"""What ends a run of all tests: failures, and skips that are not on the list. tests/suite is loaded as it is; its
runs of pytest are of two files made here."""

import runpy

import pytest

from bench.medium import TOP

TESTS = """
import pytest
def test_good(): pass
def test_known(): pytest.skip("no such hardware")
def test_unknown(): {body}
@pytest.mark.full
def test_long(): assert False
"""


@pytest.fixture
def suite(tmp_path, monkeypatch):
    """suite(body of a test) -> (exit code, what was printed)"""
    loaded = runpy.run_path(str(TOP / "tests/suite"))
    names = loaded["main"].__globals__
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/conftest.py").symlink_to(TOP / "tests/conftest.py")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "tests/skips.txt").write_text("# why\ntest_it::test_known  # no such hardware\n")
    monkeypatch.setitem(names, "TOP", tmp_path)
    monkeypatch.setitem(names, "BUILD", tmp_path)
    monkeypatch.setitem(names, "coverage", lambda: None)
    monkeypatch.setattr("sys.argv", ["suite"])
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # this test's own

    def run(capsys, body):
        (tmp_path / "tests/test_it.py").write_text(TESTS.format(body=body))
        return names["main"](), capsys.readouterr().out.splitlines()

    return run


@pytest.mark.parametrize("workers", [1, 2])
def test_known_skips_are_named_and_counted(suite, capsys, monkeypatch, workers):
    monkeypatch.setenv("TEST_JOBS", str(workers))
    code, said = suite(capsys, "pass")
    assert (code, said[-1]) == (0, "2 passed, 0 failed, 1 skipped")
    assert "skipped: test_it::test_known: no such hardware" in said
    assert "left to `make test-full`: 1 (test_it.py::test_long)" in said


def test_other_skips_fail(suite, capsys):
    code, said = suite(capsys, 'pytest.skip("lazy")')
    assert (code, said[-1]) == (1, "1 passed, 1 failed, 1 skipped")
    assert "FAILED: test_it::test_unknown was skipped (lazy) and is not in tests/skips.txt" in said


def test_failures_fail(suite, capsys):
    code, said = suite(capsys, "assert False")
    assert (code, said[-1]) == (1, "1 passed, 1 failed, 1 skipped")


def test_a_file_that_cannot_be_read_fails(suite, capsys):
    code, said = suite(capsys, "!")
    assert code == 1 and said[-1].endswith(" 0 skipped") and " 0 failed" not in said[-1]
