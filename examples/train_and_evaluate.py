"""Train for a moment, then compare with a classical policy: what `omnichannel train` does."""

from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from envs.omnichannel import load_scenario
from marl.config import load_config
from marl.evaluation.evaluate import evaluate_policies
from marl.evaluation.tables import make_tables
from marl.policies import Policy, make_policy
from marl.runs.folder import RunFolder
from marl.training.progress import TrainingProgress
from marl.training.ray_start import start_ray
from marl.training.trainer import Trainer

if __name__ == "__main__":
    scenario, console = load_scenario("tiny"), Console()
    config = load_config("default", ["stop.episodes=64", "learner.hidden=[32]"])
    with TemporaryDirectory() as folder:
        run = RunFolder.create(Path(folder) / "run", scenario, config)
        start_ray(None, num_env_runners=1)
        trainer = Trainer(run, TrainingProgress(console, quiet=True))
        try:
            trainer.train()
            policies: dict[str, Policy] = {
                "before": make_policy("before", scenario),
                "trained": trainer.make_policy(),
            }
            console.print(*make_tables(evaluate_policies(policies, scenario, episodes=64, seed=0)))
        finally:
            trainer.close()
