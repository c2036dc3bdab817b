"""BenchMARL's IPPO, MAPPO and QMIX on the cell view; needs `pip install benchmarl`.

The agents of a module share parameters. MAPPO's critic and QMIX's mixer see the whole network's
state. TorchRL, on which BenchMARL stands, reads the mask from the infos.
"""

from collections import defaultdict
from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any

from benchmarl.algorithms import IppoConfig, MappoConfig, QmixConfig
from benchmarl.environments.pettingzoo.common import PettingZooClass
from benchmarl.experiment import Experiment, ExperimentConfig
from benchmarl.models.mlp import MlpConfig
from torchrl.envs import PettingZooWrapper

from envs.omnichannel import cell_env, module_of

ALGORITHMS = {"ippo": IppoConfig, "mappo": MappoConfig, "qmix": QmixConfig}


class OmnichannelTask(PettingZooClass):
    """A scenario as a task of BenchMARL; `max_steps` is its horizon."""

    def get_env_fun(
        self, num_envs: int, continuous_actions: bool, seed: int | None, device: Any
    ) -> Callable[[], Any]:
        """Returns what makes the environment."""
        del num_envs, continuous_actions

        def make() -> Any:
            env, groups = cell_env(self.config["scenario"]), defaultdict(list)
            for agent in env.possible_agents:
                groups[module_of(agent)].append(agent)
            return PettingZooWrapper(
                env, return_state=True, group_map=dict(groups), seed=seed, device=device
            )

        return make

    def supports_discrete_actions(self) -> bool:
        """The cells' actions are `Discrete`."""
        return True

    def has_state(self) -> bool:
        """Critics and mixers may see the whole network."""
        return True

    def has_render(self, env: Any) -> bool:
        """There are no pictures."""
        del env
        return False


def train(algorithm: str, folder: str) -> int:
    """Trains for one iteration; returns how many periods were sampled."""
    config = ExperimentConfig.get_from_yaml()
    config.max_n_iters, config.loggers, config.create_json = 1, [], False
    config.evaluation = config.render = False
    for kind in ("on", "off"):
        setattr(config, f"{kind}_policy_collected_frames_per_batch", 28)
        setattr(config, f"{kind}_policy_n_envs_per_worker", 1)
    config.on_policy_n_minibatch_iters, config.on_policy_minibatch_size = 1, 14
    config.off_policy_n_optimizer_steps, config.off_policy_train_batch_size = 2, 14
    config.off_policy_memory_size, config.save_folder = 1_000, folder
    experiment = Experiment(
        task=OmnichannelTask("TINY", {"scenario": "tiny", "max_cycles": 14}),
        algorithm_config=ALGORITHMS[algorithm].get_from_yaml(),
        model_config=MlpConfig.get_from_yaml(),
        critic_model_config=MlpConfig.get_from_yaml(),
        seed=0,
        config=config,
    )
    experiment.run()
    return int(experiment.total_frames)


if __name__ == "__main__":
    with TemporaryDirectory() as place:
        for name in ALGORITHMS:
            print(f"{name}: {train(name, place)} periods")
