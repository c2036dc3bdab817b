"""The search space: its syntax, and mistakes as one line."""

from pathlib import Path

import pytest

from envs.errors import InputError
from marl.config import TrainConfig
from marl.training.search.space import Dimension, apply_values, check_space, parse_space


def test_parse_space__reads_every_distribution() -> None:
    space = parse_space([
        "learner.lr=loguniform(1e-4, 3e-3)",
        "learner.tau = uniform(0.001,0.1)",
        "learner.n_step=randint(1, 8)",
        "learner.hidden=choice([64, 64], [128, 128])",
        "learner.double=choice(true, false)",
    ])  # fmt: skip

    assert space == (
        Dimension("learner.lr", "loguniform", (1e-4, 3e-3)),
        Dimension("learner.tau", "uniform", (0.001, 0.1)),
        Dimension("learner.n_step", "randint", (1, 8)),
        Dimension("learner.hidden", "choice", ([64, 64], [128, 128])),
        Dimension("learner.double", "choice", (True, False)),
    )
    assert parse_space([str(dimension) for dimension in space]) == space
    check_space(space, TrainConfig(), mutable=False)


def test_parse_space__reads_a_file(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text("search:\n  learner.lr: loguniform(1e-4, 3e-3)\n", encoding="utf-8")

    assert parse_space([str(file)]) == (Dimension("learner.lr", "loguniform", (1e-4, 3e-3)),)


def test_apply_values__sets_what_a_trial_drew() -> None:
    config = apply_values(
        {"learner.lr": 1e-5, "learner.hidden": [32, 16], "feedback.mode": "learning_rate"},
        TrainConfig(seed=7),
    )

    assert (config.learner.lr, config.learner.hidden) == (1e-5, (32, 16))
    assert (config.feedback.mode, config.seed) == ("learning_rate", 7)


@pytest.mark.parametrize(
    ("kind", "values", "value", "clipped"),
    [
        ("uniform", (0.1, 0.5), 0.6, 0.5),
        ("loguniform", (0.1, 0.5), 0.05, 0.1),
        ("randint", (2, 8), 9, 7),
        ("randint", (2, 8), 4.6, 5),
        ("choice", (1, 4), 4, 4),
    ],
)
def test_clip__stays_in_the_dimension(
    kind: str, values: tuple[float, ...], value: float, clipped: float
) -> None:
    assert Dimension("learner.n_step", kind, values).clip(value) == clipped


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learner.lr", r"'learner.lr' is not allowed; write a.b=D where D is uniform"),
        ("learner.lr=normal(0, 1)", "write a.b=D where D is"),
        ("learner.lr=uniform(1)", "uniform needs two numbers"),
        ("learner.lr=uniform(a, b)", "uniform needs two numbers"),
        ("learner.n_step=randint(1.5, 3)", "randint needs two numbers"),
        ("learner.lr=uniform(2, 1)", "low < high is needed"),
        ("learner.lr=loguniform(0, 1)", "0 < low < high is needed"),
        ("learner.lr=choice(1)", "choice needs two values or more"),
        ("learner.lr=choice([)", "choice needs two values or more"),
        ("no.yaml", "--space: file 'no.yaml' does not exist"),
    ],
)
def test_parse_space__mistake_is_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        parse_space([text])

    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("texts", [[], ["seed=randint(1, 3)", "seed=choice(1, 2)"]])
def test_parse_space__nothing_and_twice(texts: list[str]) -> None:
    with pytest.raises(InputError, match=r"nothing to vary|given twice"):
        parse_space(texts)


@pytest.mark.parametrize(
    "content", ["search: 3\n", "learner.lr: uniform(1, 2)\n", "search: {}\nx: 1\n"]
)
def test_parse_space__file_of_another_form(tmp_path: Path, content: str) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(content, encoding="utf-8")

    with pytest.raises(InputError, match="one key `search` is needed"):
        parse_space([str(file)])


@pytest.mark.parametrize(
    ("text", "mutable", "message"),
    [
        ("learner.speed=uniform(0, 1)", False, "learner.speed: unknown key; allowed: lr"),
        ("learner.gamma=uniform(0.5, 1.5)", False, "learner.gamma: 1.5 is not allowed"),
        ("learner.n_step=randint(0, 5)", False, "learner.n_step: 0 is not allowed"),
        ("stop.episodes=choice(10, 20)", False, "it must be the same for all trials"),
        ("learner.gamma=uniform(0.5, 0.9)", True, "is not allowed with --scheduler pbt"),
        ("seed=choice(1, 2)", True, "is not allowed with --scheduler pbt"),
    ],
)
def test_check_space__mistake_names_the_field(text: str, mutable: bool, message: str) -> None:
    with pytest.raises(InputError) as error:
        check_space(parse_space([text]), TrainConfig(), mutable=mutable)

    assert message in str(error.value)
