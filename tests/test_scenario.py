from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from envs.errors import InputError
from envs.omnichannel.scenario import Scenario, list_scenarios, load_scenario
from envs.validation import parse_yaml, validate_model

Data = dict[str, Any]
PROCESSES = (
    "'seasonal_normal', 'poisson', 'negative_binomial', 'intermittent', 'rounded_gamma', "
    "'clipped_normal', 'uniform', 'trace'"
)


@pytest.fixture
def data(tiny: Scenario) -> Data:
    """The values of `tiny` as a user would write them."""
    return deepcopy(tiny.model_dump(mode="json"))


def change(data: Data, path: str, value: object) -> None:
    *parents, last = path.split(".")
    node: Any = data
    for part in parents:
        node = node[int(part) if part.isdigit() else part]
    node[last] = value


def message_of(data: Data) -> str:
    with pytest.raises(InputError) as error:
        validate_model(Scenario, data, "my.yaml")
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", list_scenarios())
def test_load_scenario__built_in_ones_are_valid(name: str) -> None:
    assert load_scenario(name).name == name


def test_list_scenarios__is_sorted_and_holds_the_papers() -> None:
    assert list_scenarios() == sorted(list_scenarios())
    assert {"paper", "tiny"} <= set(list_scenarios())


def test_load_scenario__paper_is_the_network_of_the_paper() -> None:
    paper = load_scenario("paper")
    assert (len(paper.network.dcs), len(paper.network.stores)) == (1, 10)
    rates = [category.return_rate for category in paper.categories.values()]
    assert (min(rates), max(rates), paper.returns.store_spread) == (0.05, 0.15, 0.02)
    assert paper.coordination.strategy == "average"


def test_load_scenario__reads_a_file(tmp_path: Path, data: Data) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(data | {"name": "mine"}), encoding="utf-8")
    assert load_scenario(path).name == "mine"


def test_hash__is_stable_and_changes_with_a_value(tiny: Scenario, data: Data) -> None:
    assert tiny.hash() == load_scenario("tiny").hash() == Scenario.model_validate(data).hash()
    data["network"]["stores"][1]["lead_time"] = 3
    assert Scenario.model_validate(data).hash() != tiny.hash()


# Field, value and what is allowed, in one line.
@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "network.stores.0.leadtime",
            1,
            "network.stores.0.leadtime: unknown key; "
            "allowed: name, parent, size, distance, lead_time, capacity, return_factor, "
            "random_lead_time, delivery",
        ),
        (
            "network.dcs.0.random_lead_time",
            {2: 0.5, 3: 0.4},
            "network.dcs.0: random_lead_time has probabilities that sum to 0.9; 1 is needed",
        ),
        (
            "network.stores.0.random_lead_time",
            {0: 1.0},
            "network.stores.0.random_lead_time.0: "
            "0 is not allowed; must be greater than or equal to 1",
        ),
        (
            "supply_cuts",
            {"windows": 2, "length": 8},
            "supply_cuts: 2 windows of 8 periods do not fit into the horizon of 14; "
            "windows x length <= horizon is allowed",
        ),
        (
            "fulfillment.online_unmet",
            "partial",
            "fulfillment.online_unmet: 'partial' is not allowed; "
            "must be 'lost', 'backorder' or 'patience'",
        ),
        (
            "fulfillment.rationing",
            "lottery",
            "fulfillment.rationing: 'lottery' is not allowed; "
            "must be 'equal_cover', 'fair_share', 'min_shortage', 'proportional' or 'random_order'",
        ),
        (
            "demand.noize",
            0.1,
            "demand.noize: unknown key; allowed: season_period, season_amplitude, drift, "
            "promotions, calendar, correlation, overrides, process, noise",
        ),
        (
            "returns.delay.hi",
            3,
            "returns.delay.hi: unknown key; allowed: kind, low, high",
        ),
        (
            "network.stores.1.lead_time",
            -1,
            "network.stores.1.lead_time: -1 is not allowed; must be greater than or equal to 0",
        ),
        (
            "network.dcs.0.supplier_lead_time",
            2.5,
            "network.dcs.0.supplier_lead_time: 2.5 is not allowed; "
            "must be a valid integer, got a number with a fractional part",
        ),
        (
            "categories.home.return_rate",  # the paper's lambda
            1.2,
            "categories.home.return_rate: 1.2 is not allowed; must be less than or equal to 1",
        ),
        (
            "costs.lost_sale",
            float("nan"),
            "costs.lost_sale: nan is not allowed; must be a finite number",
        ),
        (
            "horizon",
            "two weeks",
            "horizon: 'two weeks' is not allowed; "
            "must be a valid integer, unable to parse string as an integer",
        ),
        ("network", [1, 2], "network: [1, 2] is not allowed; a mapping of fields is needed"),
        ("categories", 5, "categories: 5 is not allowed; a mapping of fields is needed"),
        ("skus", 3, "skus: 3 is not allowed; a list is needed"),
        (
            "network.stores.1.parent",
            "dc_9",
            "network: parent 'dc_9' of store_1 is no DC; allowed: dc_0",
        ),
        (
            "network.stores.1.name",
            "store_0",
            "network: name 'store_0' is used twice; node names must be unique",
        ),
        (
            "network.stores.1.name",
            "dc_0",
            "network: name 'dc_0' is used twice; node names must be unique",
        ),
        (
            "network.dcs",
            [{"name": "dc_0"}, {"name": "dc_1"}],
            "network: dc 'dc_1' has no store; it must be the parent of at least one",
        ),
        ("skus.1.name", "shirt", "skus: name 'shirt' is used twice; names must be unique"),
        (
            "skus.1.category",
            "toys",
            "skus: category 'toys' of lamp is not defined; allowed: fashion, home",
        ),
        (
            "actions.store_cover",
            [1, 2],
            "actions: dc_cover has 11 options; 2 are allowed (as many as store_cover)",
        ),
        ("actions.initial_cover", 11, "actions: initial_cover 11 must be below 11"),
        (
            "actions.disposition",
            [[0.5, 0.2, 0.2]],
            "actions: disposition (0.5, 0.2, 0.2) must sum to 1",
        ),
        (
            "costs.quantity_rates",
            [1, 0.5],
            "costs: quantity_rates has 2 values; 3 are allowed (one more than quantity_breaks)",
        ),
        ("costs.quantity_breaks", [80, 40], "costs: quantity_breaks [80, 40] must ascend"),
        (
            "demand",
            {"noise": 0.1},
            f"demand.process: missing; allowed: {PROCESSES}",
        ),
        (
            "demand.process",
            "sinus",
            f"demand.process: 'sinus' is not allowed; allowed: {PROCESSES}",
        ),
        (
            "returns.delay",
            {"kind": "uniform", "low": 5, "high": 2},
            "returns.delay: low 5 is above high 2; low <= high is allowed",
        ),
        (
            "returns.delay",
            {"kind": "lognormal", "median": 90, "sigma": 1, "longest": 60},
            "returns.delay: median 90 is above longest 60; median <= longest is allowed",
        ),
        (
            "skus.0.store_demand",
            1e7,
            "skus.0.store_demand: 10000000.0 is not allowed; must be less than or equal to 1000000",
        ),
        (
            "coordination.strategy",
            "mean",
            "coordination.strategy: 'mean' is not allowed; "
            "must be 'average', 'weighted', 'low_only', 'high_only', 'valued' or 'learned'",
        ),
        (
            "coordination.proposer_weights",
            {"disposition": [1, 1, 1]},
            "coordination.proposer_weights.disposition: [1, 1, 1] is not allowed; "
            "tuple should have at most 2 items after validation, not 3",
        ),
        (
            "coordination.role_weights",
            {"buying": 1},
            "coordination.role_weights.buying: 'buying' is not allowed; "
            "must be 'ordering', 'shipping' or 'return'",
        ),
    ],
)
def test_validate_model__says_what_is_wrong(
    data: Data, path: str, value: object, message: str
) -> None:
    change(data, path, value)
    assert message_of(data) == f"my.yaml: {message}"


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("MOST_CELLS", "skus: 2 stores x 2 SKUs are 4 cells; at most 3 are allowed"),
        (
            "MOST_CELL_DAYS",
            "demand.season_period: 14 is not allowed; at most 0 for 4 cells (stores x SKUs)",
        ),
    ],
)
def test_validate_model__refuses_what_fits_no_memory(
    data: Data, monkeypatch: pytest.MonkeyPatch, limit: str, message: str
) -> None:
    monkeypatch.setattr(f"envs.omnichannel.scenario.scenario.{limit}", 3)
    assert message_of(data) == f"my.yaml: {message}"


def test_validate_model__lists_the_keys_at_the_top(data: Data) -> None:
    message = message_of(data | {"horizn": 3})
    assert message.startswith("my.yaml: horizn: unknown key; allowed: name, description, ")


def test_validate_model__names_a_missing_field(data: Data) -> None:
    del data["network"]
    assert message_of(data) == "my.yaml: network: missing; this field is required"


def test_validate_model__shortens_long_values(data: Data) -> None:
    message = message_of(data | {"horizon": "x" * 1000})
    assert len(message) < 200


def test_load_scenario__refuses_an_unknown_name() -> None:
    with pytest.raises(InputError) as error:
        load_scenario("papre")
    known = ", ".join(list_scenarios())
    assert str(error.value) == (
        f"scenario: 'papre' is not known; allowed: {known}, or the path of a .yaml file"
    )


def test_load_scenario__refuses_a_missing_file() -> None:
    with pytest.raises(InputError) as error:
        load_scenario("no/such.yaml")
    assert str(error.value) == (
        "scenario: file 'no/such.yaml' does not exist; give the path of a file"
    )


def test_load_scenario__refuses_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "folder.yaml"
    folder.mkdir()
    with pytest.raises(InputError, match=r"^scenario: '.*folder\.yaml' cannot be read \("):
        load_scenario(folder)


def test_load_scenario__refuses_what_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("name: café".encode("latin-1"))
    with pytest.raises(InputError, match=r"^scenario: '.*' cannot be read \(not UTF-8 text\)$"):
        load_scenario(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name: [1, 2", "x.yaml: not valid YAML at line 1, column 12"),
        ("name: a\n\tb: c", "x.yaml: not valid YAML at line 2, column 1"),
        ("- a\n- b", "x.yaml: a list found; a mapping of fields is needed"),
        ("just words", "x.yaml: a str found; a mapping of fields is needed"),
        ("", "x.yaml: nothing found; a mapping of fields is needed"),
        ("a: b\nc: \0", "x.yaml: not valid YAML at line 2, column 4"),
        ("a: 2024-13-01", "x.yaml: not valid YAML (month must be in 1..12)"),
        ("[" * 5000, "x.yaml: not valid YAML (nested too deeply)"),
    ],
)
def test_parse_yaml__refuses_what_is_no_mapping(content: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        parse_yaml(content, "x.yaml")
    assert str(error.value) == message
