"""The lines of docs/operations.md that are marked as tried, and the running of them as they stand there."""

import os
import pathlib
import re
import subprocess

from stage import PROGRAM, ROOT, fail, say

MARKED = re.compile(r"^ *<!-- tried: ([^\n]+) -->\n *```sh\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


class Guide:
    """The marked lines by name, and which of them were run."""

    def __init__(self, stage):
        found = MARKED.findall((ROOT / "docs/operations.md").read_text())
        self.lines = dict(found)
        if len(self.lines) != len(found):
            fail("docs/operations.md: two marks of one name")
        self.run_names = set()
        # The program by its own name, wherever it is.
        self.programs = stage.directory / "programs"
        self.programs.mkdir()
        (self.programs / "token-authority").symlink_to(pathlib.Path(PROGRAM).resolve())
        bindir = os.environ["TEST_POSTGRES_BINDIR"]
        self.environment = {
            **os.environ,
            "PATH": f"{self.programs}:{bindir}:{os.environ['PATH']}",
            "TA_CONFIG_DIR": str(stage.directory / "profiles"),
        }

    def run(self, name, **variables):
        """Runs what stands under a mark; returns what it printed."""
        if name not in self.lines:
            fail(f"docs/operations.md has nothing marked “{name}”")
        self.run_names.add(name)
        given = {key: str(value) for key, value in variables.items()}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.lines[name]],
            env=self.environment | given,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            fail(f"“{name}” ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        say(f"  {name}")
        return done.stdout

    def check_all_run(self):
        """Ends unless all that is marked was run."""
        if left := self.lines.keys() - self.run_names:
            fail(f"marked as tried and not run: {', '.join(sorted(left))}")
