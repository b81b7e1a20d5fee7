"""Counts tests the way tests/run.sh reads them: a line each, at the end "N passed, N failed"."""

import sys


class Report:
    def __init__(self):
        self.passed = self.failed = 0

    def test(self, name, findings):
        """One test: it passes if there are no findings."""
        if findings:
            self.failed += 1
            print(f"FAILED  {name}")
            for finding in findings:
                print(f"        {finding}")
        else:
            self.passed += 1
            print(f"ok      {name}")

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed")
        sys.exit(self.failed != 0)
