"""The report as a page: from a run folder, by the command, in a real browser."""

import base64
import gzip
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario, load_scenario
from marl.commands.cli import main
from marl.config import load_config
from marl.evaluation.evaluate import evaluate_policies
from marl.learning.dqn.policy import make_network_arguments, make_untrained
from marl.learning.policy_arrays import save_policy
from marl.policies import make_policy
from marl.report.gather import count_episodes, write_report
from marl.runs.folder import POLICY_FILE, PROGRESS_FILE, RunFolder
from scripts.screenshots import SIZES, find_browser, open_browser, set_scheme, show_report


def make_run(path: Path, scenario: Scenario) -> RunFolder:
    """A run folder as training leaves it when it is interrupted: without a comparison."""
    config = load_config()
    run = RunFolder.create(path, scenario, config)
    arguments = make_network_arguments(scenario, config.learner)
    networks = make_untrained(arguments).networks
    weights = {
        m: {name: values.numpy() for name, values in network.state_dict().items()}
        for m, network in networks.items()
    }

    def write(folder: Path) -> None:
        save_policy(folder / POLICY_FILE, {"method": "agents", "networks": arguments}, weights)
        (folder / PROGRESS_FILE).write_text("{}", encoding="utf-8")

    run.save_checkpoint(0, write, is_best=True)
    for episodes in (0, 16, 32):
        names = ("reward", "on_time", "served")
        record = {f"{p}/{name}": 0.9 + episodes / 1e3 for p in ("train", "eval") for name in names}
        run.append_metrics({"episodes": episodes, **record})
    return run


@pytest.fixture
def run(tmp_path: Path, tiny: Scenario) -> RunFolder:
    return make_run(tmp_path / "run <1>", tiny)


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["omnichannel", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def read_payload(page: str) -> list[dict[str, Any]]:
    found = re.search(r'id="payload">([^<]+)<', page)
    assert found
    figures: list[dict[str, Any]] = json.loads(gzip.decompress(base64.b64decode(found[1])))
    return figures


def test_report__is_one_page_with_everything_in_it(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "report", str(run.path)) == 0

    path = run.path / "report.html"
    assert capsys.readouterr().out == f"{path} ({path.stat().st_size / 1e6:.1f} MB)\n"
    assert path.stat().st_size < 2_500_000
    page = path.read_text(encoding="utf-8")
    assert "<h1>run &lt;1&gt;</h1>" in page
    assert "default-src 'none'" in page
    ids = [figure["id"] for figure in read_payload(page)]
    assert len(ids) == 9
    for figure_id in ids:
        assert f'aria-labelledby="{figure_id}-title"' in page
        assert f'id="{figure_id}-reading"' in page


def test_report__twice_is_the_same_file(run: RunFolder, tmp_path: Path) -> None:
    first = write_report(run).read_bytes()

    assert write_report(run, tmp_path / "again.html").read_bytes() == first


def test_report__forecasts_cost_something_where_demand_is_recorded_alone(run: RunFolder) -> None:
    with pytest.raises(InputError, match=r"^--forecast-cost: the demand of \w+ is drawn; "):
        write_report(run, forecast_cost=True)


def test_report__shows_the_runs_own_comparison(run: RunFolder, tiny: Scenario) -> None:
    policies = {name: make_policy("before", tiny) for name in ("before", "trained")}
    evaluation = evaluate_policies(policies, tiny, 4, seed=5)
    text = json.dumps(evaluation.to_json())
    for name in ("evaluation.json", "ablation.json"):
        (run.path / name).write_text(text, encoding="utf-8")

    page = write_report(run).read_text(encoding="utf-8")

    assert "Every policy on the same 4 episodes" in page
    assert f"{evaluation.policies['trained']['reward'].mean:.4f}" in page
    assert read_payload(page)[-1]["id"] == "ablations"


def test_report__shows_no_name_as_markup(tiny: Scenario, tmp_path: Path) -> None:
    def spoil(number: int) -> str:
        return f"<img src=x onerror=alert({number})>"

    data = tiny.model_dump(mode="json")
    data["name"], data["description"] = spoil(0), spoil(1)
    nodes = [*data["network"]["dcs"], *data["network"]["stores"]]
    for number, item in enumerate((*nodes, *data["skus"]), start=2):
        item["name"] = spoil(number)
    for store in data["network"]["stores"]:
        store["parent"] = nodes[0]["name"]
    run = make_run(tmp_path / "run <img>", Scenario.model_validate(data))
    policies = {name: make_policy("before", run.scenario) for name in ("before", spoil(9))}
    comparison = evaluate_policies(policies, run.scenario, 4, seed=5).to_json()
    (run.path / "evaluation.json").write_text(json.dumps(comparison), encoding="utf-8")

    page = write_report(run).read_text(encoding="utf-8")

    assert "alert(2)" in page
    assert "<img" not in page
    # What plotly takes for markup; controls and their labels are the page's own, escaped there.
    drawn = [figure["plots"] for figure in read_payload(page)]
    assert "alert(2)" in json.dumps(drawn)
    assert "<img" not in json.dumps(drawn)


@pytest.mark.parametrize(
    "record",
    [{"train/reward": 1.0}, {"episodes": None}, {"episodes": 1, "train/reward": "x"},
     {"episodes": True}, {"episodes": 10**400}, {"episodes": 1, "train/reward": 1e300}],
    ids=str,
)  # fmt: skip
def test_report__refuses_a_line_that_is_no_record(record: dict[str, Any], run: RunFolder) -> None:
    lines = (run.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    text = "\n".join([lines[0], json.dumps(record), *lines[1:]])
    (run.path / "metrics.jsonl").write_text(text, encoding="utf-8")

    with pytest.raises(InputError, match=r"metrics.jsonl', line 2 is not a record of training"):
        write_report(run)


@pytest.mark.parametrize(
    ("name", "value"),
    [("policies", []), ("episodes", "x"), ("episodes", 0), ("seed", float("inf")), ("paired", 1),
     ("odd", 1), ("paired", {"a": {"reward": {"mean": 1e300, "low": 0, "high": 0}}}),
     ("paired", {"a": {"reward": {"mean": "x", "low": 0, "high": 0}}})],
    ids=str,
)  # fmt: skip
def test_report__refuses_what_is_no_comparison(
    name: str, value: object, run: RunFolder, tiny: Scenario
) -> None:
    evaluation = evaluate_policies({"before": make_policy("before", tiny)}, tiny, 2, seed=5)
    text = json.dumps(evaluation.to_json() | {name: value})
    (run.path / "evaluation.json").write_text(text, encoding="utf-8")

    with pytest.raises(InputError, match=r"evaluation.json' is not a comparison; write it anew"):
        write_report(run)


def test_report__forgives_a_half_written_last_line(run: RunFolder) -> None:
    metrics = run.path / "metrics.jsonl"
    whole = metrics.read_text(encoding="utf-8")
    metrics.write_text(whole + '{"episodes": 4', encoding="utf-8")

    reward = read_payload(write_report(run).read_text(encoding="utf-8"))[0]

    assert reward["plots"][0]["data"][1]["x"] == [0, 16, 32]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("metrics.jsonl", "nothing\n{}\n", r"metrics.jsonl', line 1 is not JSON"),
        ("evaluation.json", "{", "evaluation.json' is not a comparison"),
        ("evaluation.json", '{"policies": 3}', "evaluation.json' is not a comparison"),
        ("ablation.json", "[]", "ablation.json' is not a comparison"),
        (
            "ablation.json",
            '{"scenario": "", "episodes": 1, "seed": 0, "policies": {"a": {"metrics": {}}}, '
            '"paired": {}}',
            "ablation.json' has no on_time of a",
        ),
    ],
)
def test_report__names_the_broken_file(
    run: RunFolder, file: str, content: str, message: str
) -> None:
    (run.path / file).write_text(content, encoding="utf-8")

    with pytest.raises(InputError, match=message):
        write_report(run)

    assert not (run.path / "report.html").exists()


def test_report__mistakes_are_one_line(
    run: RunFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    nowhere = tmp_path / "nowhere" / "report.html"
    assert call(monkeypatch, "report", str(run.path), "--out", str(nowhere)) == 2
    error = capsys.readouterr().err
    assert error == f"error: --out: '{nowhere}' cannot be written (No such file or directory)\n"
    assert call(monkeypatch, "report", str(tmp_path)) == 2
    assert "is not a run folder" in capsys.readouterr().err


def test_episodes__shrink_with_the_network(tiny: Scenario) -> None:
    assert count_episodes(tiny) == 16
    assert count_episodes(load_scenario("paper")) == 16
    large = tiny.model_copy(update={"horizon": 30_000})  # 120,000 store-SKU-days
    assert count_episodes(large) == 1


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    if find_browser() is None:
        pytest.skip("needs chromium and chromedriver: apt-get install chromium chromium-driver")
    with open_browser(tmp_path_factory.mktemp("profile")) as chrome:
        for kind in ("browser", "performance"):
            read_log(chrome, kind)  # of Chromium's own first page
        yield chrome


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, tiny: Scenario) -> Path:
    run = make_run(tmp_path_factory.mktemp("runs") / "run", tiny)
    page = write_report(run)
    # Alone in a folder: whatever it asked for beside itself would be missing.
    return page.rename(tmp_path_factory.mktemp("alone") / "report.html")


# Of every plot: the width and height of its drawing, and how many marks are in it.
MEASURE = """
return [...document.querySelectorAll(".plot")].map((plot) => {
  const box = plot.querySelector("svg.main-svg").getBoundingClientRect();
  const marks = plot.querySelectorAll(".trace, .hm, .sankey-node");
  return [box.width, box.height, marks.length];
});
"""
OVERFLOW = "return document.documentElement.scrollWidth - window.innerWidth"
COLOUR = "return document.querySelector('#reward .plot').data[1].line.color"


@pytest.mark.parametrize("size", SIZES)
def test_page__draws_every_figure_and_asks_for_nothing(
    browser: Chrome, report: Path, size: str
) -> None:
    show_report(browser, report, size, "light")

    plots = browser.execute_script(MEASURE)
    assert len(plots) == 11  # nine figures, two of them of two panels
    for width, height, marks in plots:
        assert width > 200
        assert height > 150
        assert marks > 0
    assert browser.execute_script(OVERFLOW) <= 0
    assert read_log(browser, "browser") == []
    assert find_requests(browser) == {report.resolve().as_uri()}


def test_page__follows_the_colour_scheme(browser: Chrome, report: Path) -> None:
    show_report(browser, report, "phone", "light")
    assert browser.execute_script(COLOUR) == "#0062a3"

    set_scheme(browser, "dark")

    WebDriverWait(browser, 20).until(lambda b: b.execute_script(COLOUR) == "#5cb8f2")
    assert read_log(browser, "browser") == []


def read_log(browser: Chrome, kind: str) -> list[dict[str, Any]]:
    """Returns what was logged since the last call."""
    entries: list[dict[str, Any]] = browser.get_log(kind)  # type: ignore[no-untyped-call]
    return entries


def find_requests(browser: Chrome) -> set[str]:
    """Addresses asked for, but for those that the page holds itself."""
    events = [json.loads(entry["message"])["message"] for entry in read_log(browser, "performance")]
    urls = {
        str(event["params"]["request"]["url"])
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }
    return {url for url in urls if not url.startswith(("data:", "blob:"))}


def test_page__follows_its_controls(browser: Chrome, report: Path) -> None:
    show_report(browser, report, "desktop", "light")
    day = browser.find_element(By.CSS_SELECTOR, "#stock input")
    get_stock = "return document.querySelector('#stock .plot').data[0].customdata"
    last = browser.execute_script(get_stock)

    browser.execute_script(
        "arguments[0].value = 0; arguments[0].dispatchEvent(new Event('input'));", day
    )

    assert browser.execute_script(get_stock) != last
    assert browser.find_element(By.CSS_SELECTOR, "#stock output").text == "0"
    location = browser.find_element(By.CSS_SELECTOR, "#proposals select")
    get_visible = (
        "return document.querySelector('#proposals .plot').data.filter((t) => t.visible).length"
    )
    assert browser.execute_script(get_visible) == 6
    location.send_keys("dc_0")
    assert browser.execute_script(get_visible) == 4
