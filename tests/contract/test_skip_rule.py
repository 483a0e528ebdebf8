"""The rule about skipping: allowed on a desk, a failure in CI; an expected failure stays one."""

import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"
CASES = """
import pytest

def test_skips():
    pytest.skip("needs a thing")

@pytest.fixture
def thing():
    pytest.skip("needs a thing")

def test_skips_in_setup(thing):
    pass

@pytest.mark.xfail(reason="known", strict=True)
def test_known():
    raise AssertionError
"""
MODULE = "import pytest\npytest.skip('needs a thing', allow_module_level=True)\n"


@pytest.mark.parametrize(
    ("require", "outcome"), [("0", "3 skipped, 1 xfailed"), ("1", "1 failed, 1 xfailed, 2 errors")]
)
def test_skipping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, require: str, outcome: str) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST.read_text())
    (tmp_path / "test_cases.py").write_text(CASES)
    (tmp_path / "test_module.py").write_text(MODULE)
    monkeypatch.setenv("ZPB_TEST_REQUIRE", require)
    monkeypatch.setenv("PYTHONPATH", str(CONFTEST.parent))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rs",
        "--rootdir",
        str(tmp_path),
        "--continue-on-collection-errors",
        "-c",
    ]
    done = subprocess.run(
        [*command, "/dev/null", str(tmp_path)], check=False, capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert outcome in done.stdout, done.stdout + done.stderr
    assert "needs a thing" in done.stdout
