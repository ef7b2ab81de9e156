"""The cells of studies, and their networks as Keras has them."""

from collections.abc import Sequence

from hydra import compose
from hydra.initialize import initialize_config_dir
from omegaconf import DictConfig

from echo_exp import EchoProblem, configuration
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
    """Returns the configurations of a study's cells, each once."""
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        asked = study.read(compose("config", [f"study={name}", f"study.scale={scale}"]))
        cells = list(study.composed(asked.cells))
    return list({configuration.fingerprint(cell): cell for cell in cells}.values())


def keras_net(config: DictConfig) -> Net:
    """Returns what a configuration describes, to be made in Keras."""
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
