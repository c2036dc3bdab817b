"""What TensorBoard's own reader finds in a run's event files."""

import io
import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from envs.omnichannel.scenario import Scenario
from marl.config import load_config
from marl.training.stock_image import StockPicture, draw_cells
from marl.training.tensorboard import (
    CHARTS,
    HPARAM_METRICS,
    OVERVIEW,
    EventLog,
    describe,
)


@pytest.fixture
def events(tmp_path: Path, tiny: Scenario, caplog: pytest.LogCaptureFixture) -> EventAccumulator:
    log = EventLog(tmp_path, tiny, load_config("default", ["seed=7"]))
    log.add_scalars({"train/reward": 0.5, "speed/env_steps_per_second": 900.0}, 10)
    log.add_scalars({"train/reward": 0.75}, 20)
    # The DC holds 5 days of 13.5 shirts and 7.5 lamps, store_0 nothing, store_1 more than 5 days.
    picture = StockPicture(tiny)
    pixels = picture.draw(np.array([[67.5, 37.5], [0.0, 0.0], [100.0, 6.25]]))
    log.add_image(picture.tag, pixels, picture.description, 20)
    log.close()
    reader = EventAccumulator(str(tmp_path))
    reader.Reload()
    assert caplog.text == ""  # it complains of values that it cannot place
    return reader


def test_scalars__carry_their_description(events: EventAccumulator) -> None:
    found = [(event.step, event.value) for event in events.Scalars("train/reward")]

    assert found == [(10, 0.5), (20, 0.75)]
    metadata = events.SummaryMetadata("train/reward")
    assert metadata.summary_description == (
        "Reward a period (eq. 8). Agents that explore, mean over the round's episodes."
    )


@pytest.mark.parametrize(
    ("tag", "description"),
    [
        ("eval/cost/late", "Money a period, whole network. Greedy policy, mean over the "
         "validation episodes."),
        ("pool/ordering_low/size", "Transitions in the module's part of the pool."),
        ("somebody/elses", ""),
    ],
)  # fmt: skip
def test_describe__knows_groups_of_tags(tag: str, description: str) -> None:
    assert describe(tag) == description


def test_layout__shows_the_four_charts_that_matter(events: EventAccumulator) -> None:
    (event,) = events.Tensors("custom_scalars__config__")
    layout = Layout.FromString(event.tensor_proto.string_val[0])

    charts = {chart.title: list(chart.multiline.tag) for chart in layout.category[0].chart}
    assert charts == {title: [f"^{tag}$" for tag in tags] for title, tags in CHARTS.items()}
    assert list(charts) == ["reward", "service", "cost a day", "speed, env steps a second"]


def test_hparams__name_the_settings_and_the_metrics(events: EventAccumulator) -> None:
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    settings = HParamsPluginData.FromString(content).session_start_info.hparams
    assert settings["scenario"].string_value == "tiny"
    assert settings["seed"].number_value == 7
    assert settings["learner.double"].bool_value
    assert settings["learner.hidden"].string_value == "[64, 64]"
    assert "stop.minutes" not in settings  # no limit
    content = events.SummaryMetadata("_hparams_/experiment").plugin_data.content
    metrics = HParamsPluginData.FromString(content).experiment.metric_infos
    assert [metric.name.tag for metric in metrics] == list(HPARAM_METRICS)


def test_stock__is_an_image_in_days_of_cover(events: EventAccumulator) -> None:
    (event,) = events.Images(StockPicture.tag)

    assert event.step == 20
    pixels = np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))
    names, pixels = pixels[:, :-32], pixels[-48:, -32:]  # three nodes and two SKUs of 16 pixels
    for row in (names[-48:-32], names[-32:-16], names[-16:]):
        assert (row < 128).any()  # a name in black
    bright, dark, middle = (254, 232, 56), (0, 34, 78), (125, 124, 120)
    centres = pixels[8::16, 8::16].tolist()
    assert centres == [
        [list(bright), list(bright)], [list(dark), list(dark)], [list(bright), list(middle)],
    ]  # fmt: skip
    assert "Bright: 5 days" in events.SummaryMetadata(StockPicture.tag).summary_description


def test_overview__comes_first_in_alphabetical_order(tmp_path: Path, tiny: Scenario) -> None:
    log = EventLog(tmp_path, tiny, load_config())
    log.add_scalars({"eval/cost/late": 2.0, **dict.fromkeys(OVERVIEW, 1.0)}, 1)
    log.close()
    reader = EventAccumulator(str(tmp_path))
    reader.Reload()

    assert sorted(reader.Tags()["scalars"])[:4] == list(OVERVIEW.values())
    assert reader.SummaryMetadata("1_overview/1_reward").summary_description.startswith("Reward")


def test_scalars__that_are_always_zero_have_no_chart(tmp_path: Path, tiny: Scenario) -> None:
    log = EventLog(tmp_path, tiny, load_config())
    log.add_scalars({"eval/cost/late": 0.0, "eval/cost/waste": 0.0}, 1)
    log.add_scalars({"eval/cost/late": 1.5, "eval/cost/waste": 0.0}, 2)
    log.add_scalars({"eval/cost/late": 0.0, "eval/cost/waste": 0.0}, 3)
    log.close()
    reader = EventAccumulator(str(tmp_path))
    reader.Reload()

    assert reader.Tags()["scalars"] == ["eval/cost/late"]
    assert [e.value for e in reader.Scalars("eval/cost/late")] == [1.5, 0.0]


def test_scalars__that_fall_to_zero_in_a_resumed_run_are_shown(
    tmp_path: Path, tiny: Scenario
) -> None:
    metrics = tmp_path / "metrics.jsonl"
    for step, late in ((1, 1.5), (2, 0.0)):
        log = EventLog(tmp_path, tiny, load_config(), step)
        values = {"eval/cost/late": late, "eval/cost/waste": 0.0}
        log.add_scalars(values, step)
        with metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"env_steps": step, **values}) + "\n")
        log.close()
        time.sleep(1.1)  # event files are named by the second
    reader = EventAccumulator(str(tmp_path))
    reader.Reload()

    assert reader.Tags()["scalars"] == ["eval/cost/late"]
    assert [(e.step, e.value) for e in reader.Scalars("eval/cost/late")] == [(1, 1.5), (2, 0.0)]


def test_hparams__of_a_resumed_run_are_those_it_goes_on_with(
    tmp_path: Path, tiny: Scenario
) -> None:
    for rate in (0.001, 0.002):
        EventLog(tmp_path, tiny, load_config("default", [f"learner.lr={rate}"])).close()
    reader = EventAccumulator(str(tmp_path))
    reader.Reload()

    content = reader.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    settings = HParamsPluginData.FromString(content).session_start_info.hparams
    assert settings["learner.lr"].number_value == 0.002


def test_cells__between_two_anchors_are_mixed() -> None:
    assert draw_cells(np.array([[0.125]]))[0, 0].tolist() == [34, 56, 93]
