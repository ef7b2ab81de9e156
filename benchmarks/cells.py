"""The cells of studies, how they score here, and their networks in Keras."""

import tempfile
from collections.abc import Mapping, Sequence

from hydra import compose
from hydra.initialize import initialize_config_dir
from omegaconf import DictConfig

from echo_exp import EchoProblem, configuration, running
from echo_exp.sweeps import study
from tests.parity.keras_nets import Net

TOPOLOGIES = {
    "Seq2Seq": "seq2seq",
    "EncoderDecoder": "encoder_decoder",
    "ManyToOne": "many_to_one",
    "OneToOne": "one_to_one",
}


def composed(settings: Sequence[str]) -> DictConfig:
    """Returns the configuration of `echo-exp` with these settings."""
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        return compose("config", list(settings))


def of_study(name: str, scale: str) -> list[DictConfig]:
    """Returns the different configurations of a study's cells."""
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        asked = study.read(compose("config", [f"study={name}", f"study.scale={scale}"]))
        cells = list(study.composed(asked.cells))
    return list({configuration.fingerprint(cell): cell for cell in cells}.values())


def scored(config: DictConfig, seeds: int) -> Mapping[str, Sequence[float]]:
    """Trains that many seeds as `echo-exp` does, recording nothing; returns the scores of each."""
    config = config.copy()
    config.replicas = seeds
    config.tracking = {"uri": None}
    config.trainer.progress = "none"
    with tempfile.TemporaryDirectory() as config.output_dir:
        scores = running.execute(config).outcome.scores
    return {name: [float(score) for score in each] for name, each in scores.items()}


def told(accuracies: Sequence[float]) -> str:
    """Returns the accuracies of some seeds as a cell of a table, in ascending order."""
    return ", ".join(f"{accuracy:.3f}" for accuracy in sorted(accuracies))


def keras_net(config: DictConfig) -> Net:
    """Returns the network of a configuration, to be built in Keras."""
    settings = configuration.read(config)
    assert isinstance(settings.problem, EchoProblem)  # Keras has nothing for the others
    model = config.model
    name = TOPOLOGIES[model._target_.rsplit(".", 1)[-1]]
    return Net(
        name="seq2seq_padded" if model.get("padding") else name,
        problem=settings.problem,
        batch=settings.batch_size,
        units=model.units,
        epochs=settings.epochs,
        scaled=config.representation._target_.endswith("Scaled"),
        missing=settings.missing,
        layers=model.layers,
        stateful=model.stateful,
        learning_rate=config.optimizer.learning_rate,
    )
