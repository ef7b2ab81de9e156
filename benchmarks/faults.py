"""What faults cost: runs the tests that cause them and prints what they counted as a table.

    python -m benchmarks.faults

A test records the fault that it causes and how many measurements were made, found in the store
afterwards, and found twice. Prints Markdown.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.commands import HERE

PROPERTIES = ("fault", "made", "found", "doubled")


def main() -> None:
    """Prints the table; exits with 1 if a test fails."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "tests/system", "-m", "fault"]
        done = subprocess.run(
            [*command, f"--junitxml={report}"], cwd=HERE.parent, stdout=sys.stderr, check=False
        )
        rows = _rows(report)
    print("| fault | measurements made | found | doubled | lost |")
    print("|---|---|---|---|---|")
    for fault, made, found, doubled in rows:
        print(f"| {fault} | {made} | {found} | {doubled} | {int(made) - int(found)} |")
    sys.exit(done.returncode)


def _rows(report: Path) -> list[tuple[str, ...]]:
    rows = []
    for case in ElementTree.parse(report).iter("testcase"):
        given = {node.get("name"): node.get("value") for node in case.iter("property")}
        if "fault" in given:
            rows.append(tuple(str(given[name]) for name in PROPERTIES))
    return rows


if __name__ == "__main__":
    main()
