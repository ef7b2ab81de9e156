"""Builds the parts of an experiment from its configuration."""

from omegaconf import DictConfig

from echo_exp.configuration.building import build, takes
from echo_exp.configuration.checking import Settings
from echo_exp.configuration.memory import check_memory
from echo_exp.configuration.shapes import need, network
from echo_exp.task.data import EchoDataModule
from echo_exp.training.experiment import Parts
from echo_exp.training.module import EchoModule, MakeOptimizer
from echo_exp.training.trainer import check_device


def assemble(config: DictConfig, settings: Settings) -> Parts:
    """Builds the experiment's objects from its configuration.

    Raises:
        SettingError: A setting is unknown, missing or has a value that is not allowed.
    """
    problem, seeds = settings.problem, settings.seeds
    check_device(settings.trainer.accelerator)
    representation, make_model = network(config, settings)
    needed = need(make_model(seeds=()), representation, settings)
    check_memory(config, needed, len(seeds))
    model = make_model(seeds=seeds)
    optimizer = make_optimizer(config, settings)
    module = EchoModule(
        model,
        problem,
        representation,
        settings.batch_size,
        optimizer,
        settings.missing,
        settings.trainer.clip_norm,
    )
    module.configure_optimizers()  # a bad value shows now, before anything is written
    data = EchoDataModule(
        problem,
        settings.epochs,
        seeds,
        block=settings.trainer.block,
        validation_sequences=settings.trainer.validation_sequences,
        test_sequences=settings.trainer.test_sequences,
        side_by_side=needed.side_by_side(len(seeds)),
    )
    return Parts(module, data)


def make_optimizer(config: DictConfig, settings: Settings) -> MakeOptimizer:
    """Returns what makes a run's optimizer, which is told how long the run is if it takes that.

    Raises:
        SettingError: A setting is unknown, missing or has a value that is not allowed.
    """
    length = {
        "epochs": settings.epochs,
        "updates_per_epoch": settings.problem.n_windows // settings.batch_size,
    }
    told = all(takes(config.optimizer, "optimizer", name) for name in length)
    make: MakeOptimizer = build(config.optimizer, "optimizer", **(length if told else {}))
    return make
