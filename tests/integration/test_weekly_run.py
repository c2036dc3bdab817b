"""A scenario of weeks is trained, compared and told as a user does it: commands and their words."""

import os
import subprocess
from pathlib import Path

from tests.integration.test_train_command import SMALL, command
from tests.test_weeks import write_scenario


def test_train_and_report__of_weeks(tmp_path: Path) -> None:
    scenario, run = write_scenario(tmp_path), tmp_path / "run"
    environment = {**os.environ, "OMNICHANNEL_CACHE": str(tmp_path / "cache")}

    def call(*arguments: str) -> str:
        done = subprocess.run(
            command(*arguments),
            env=environment, capture_output=True, text=True, check=False, timeout=200,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    call("train", *SMALL, "--scenario", str(scenario), "--episodes", "32", "--run-dir", str(run))
    told = call("evaluate", str(run), "naive", "--episodes", "4")
    assert "4 episodes of the held-back period" in told
    assert "20 held-back weeks" in call("forecast", "--scenario", str(scenario))
    call("report", str(run))
    page = (run / "report.html").read_text("utf-8")
    assert "episodes of 8 weeks" in page
    assert "a week" in page
    assert "a day" not in page[: page.index("<script")]
