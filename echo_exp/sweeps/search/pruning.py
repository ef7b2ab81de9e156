"""Reports a job's validations to Optuna, and ends its training if it is hopeless."""

from collections.abc import Mapping

import optuna
import pytorch_lightning as pl
from omegaconf import DictConfig
from optuna.trial import Trial
from torch import Tensor

from echo_exp.running import PrunedError
from echo_exp.sweeps.search import settings
from echo_exp.sweeps.search.storage import open_storage, open_trial
from echo_exp.training.module import EchoModule


class Pruning(pl.Callback):
    """Reports a metric of each validation, and ends the training when the pruner says so.

    Args:
        trial: The trial that this training belongs to.
        metric: The metric of the search's objective, a metric of validations.
    """

    def __init__(self, trial: Trial, metric: str) -> None:
        self.trial = trial
        self.metric = metric
        self._reported = set(trial.study.trials[trial.number].intermediate_values)

    @classmethod
    def of(cls, sweeper: DictConfig, number: int) -> "Pruning":
        """Returns the callback of a trial.

        Args:
            sweeper: The node `hydra.sweeper` of the job, see `SearchSettings.told`.
            number: The trial's number.

        Raises:
            SettingError: The storage cannot be used.
        """
        storage = open_storage(sweeper.storage)
        pruner = settings.make_pruner(sweeper.pruner)
        study = optuna.load_study(study_name=sweeper.name, storage=storage, pruner=pruner)
        (objective,) = settings.objectives(sweeper)
        return cls(open_trial(study, storage, number), objective.metric)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """See `validated`."""
        assert isinstance(pl_module, EchoModule)
        self.validated(pl_module.epochs, pl_module.scores)

    def validated(self, epochs: int, scores: Mapping[str, Tensor]) -> None:
        """Reports the mean over the replicas; NaN, which is worst to Optuna, if one has diverged.

        Args:
            epochs: Tutorial epochs trained so far.
            scores: The scores of the validation, by metric, each [R].

        Raises:
            PrunedError: The pruner stops the trial.
        """
        if self.metric not in scores:
            return
        if epochs not in self._reported:  # a process that was killed may have reported it
            self.trial.report(float(scores[self.metric].mean()), epochs)
        if self.trial.should_prune():
            raise PrunedError(epochs)
