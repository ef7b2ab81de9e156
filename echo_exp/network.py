"""A trained network, rebuilt from its run: what commands and notebooks work with."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from echo_exp import configuration
from echo_exp.configuration import Settings, trust
from echo_exp.configuration.assembly import assemble
from echo_exp.configuration.renamed import renamed
from echo_exp.models import State
from echo_exp.settings import SettingError, choice
from echo_exp.task.problem import Problem
from echo_exp.tracking import TrackingSettings
from echo_exp.training.checkpoints import BEST, LAST, load_weights
from echo_exp.training.module import EchoModule

CHECKPOINTS = {"last": LAST, "best": BEST}
LOCAL = TrackingSettings("sqlite:///outputs/mlflow.db", "outputs/artifacts")


@dataclass(frozen=True)
class Echo:
    """What a network answers to a sequence.

    Attributes:
        sequence: The sequence, [L].
        windows: Its windows, [W, n_in]; of the echo problem W = L - n_in + 1.
        expected: The integers to answer, [W, n_out].
        predicted: Those that the network answers, [W, n_out].
        outputs: The probability of each value at each place, [W, n_out, V], or with V = 1 the
            number from 0 to 1 that the network answers.
    """

    sequence: Tensor
    windows: Tensor
    expected: Tensor
    predicted: Tensor
    outputs: Tensor


@dataclass(frozen=True)
class TrainedNetwork:
    """A network as it was at the end of its training: one replica of a run.

    Attributes:
        module: The network with its problem and representation; its replica axis is 1.
        config: The resolved configuration of the run.
        settings: What of it was checked without torch.
        seed: The seed of the replica.
        epochs: Tutorial epochs that it was trained for.
        run_id: MLflow's name of the run, where it was tracked.
        metrics: The final metrics of the run.
    """

    module: EchoModule
    config: DictConfig
    settings: Settings
    seed: int
    epochs: int
    run_id: str | None
    metrics: dict[str, float]

    @property
    def problem(self) -> Problem:
        """What it was trained to do."""
        return self.module.problem

    @torch.inference_mode()
    def predict(self, sequence: Iterable[int | str], carry: bool = True) -> Echo:
        """Lets the network answer a sequence.

        Args:
            sequence: Integers, and signs of the problem's marks. Of the echo problem at least
                ``n_in`` integers from 0 to ``n_values - 1``, of which more are framed.
            carry: Whether the state is carried from window to window as in training, where element
                i of a batch goes on in element i of the next; else each begins at zero.

        Raises:
            SettingError: The sequence is none of the problem.
        """
        integers = self.problem.sequence(sequence)
        windows = torch.from_numpy(self.problem.windows(integers).copy())  # [rows, n_in]
        outputs = self._outputs(windows, carry)[self.problem.n_incomplete :]  # [W, n_out, V]
        windows = windows[self.problem.n_incomplete :]
        predicted = self.module.representation.decode(outputs)
        if outputs.shape[-1] > 1:
            outputs = outputs.softmax(-1)
        expected = self.problem.targets(windows)
        return Echo(torch.from_numpy(integers), windows, expected, predicted, outputs)

    def _outputs(self, windows: Tensor, carry: bool) -> Tensor:
        """Returns the outputs of windows in their order, [rows, n_in] -> [rows, n_out, V]."""
        module = self.module
        state: State | None = None
        outputs = []
        for batch in windows.split(module.batch_size if carry else len(windows)):
            present = module.missing.present(batch)
            answer, after = module.model(
                module.representation.encode(batch).unsqueeze(0),
                state and tuple(part[:, : len(batch)] for part in state),  # the last may be shorter
                None if present is None else present.unsqueeze(0),
            )
            outputs.append(answer[0])
            state = after if carry and module.model.stateful else None
        return torch.cat(outputs)


def load(
    run: str = "last",
    store: TrackingSettings = LOCAL,
    seed: int | None = None,
    checkpoint: str = "last",
    trusted: Collection[str] = (),
) -> TrainedNetwork:
    """Loads the network of a finished run.

    Args:
        run: The run's id, or ``last`` for the newest finished one of the store's experiment.
        store: The tracking store; the one that `echo-exp` writes to by default.
        seed: Which replica; None for the first that did not diverge.
        checkpoint: ``last`` or ``best`` (by validation accuracy).
        trusted: Classes beside those of this package that the run's configuration may call, such as
            ``my_models.GRU``.

    Raises:
        SettingError: There is no such run, it has not finished, or it or its store cannot be used.
    """
    # A training builds networks too, and would wait seconds for MLflow.
    from echo_exp.tracking.access import reader

    choice("checkpoint", checkpoint, tuple(CHECKPOINTS))
    found = reader.find(store, run)
    known = {
        (f"{g}.{configuration.TARGET}", name) for g in configuration.GROUPS for name in trusted
    }
    config = renamed(found.config)
    config.pop(configuration.CALLBACKS, None)  # they looked at the training, which is over
    hint = "; `trust` may name it, if you know it"
    trust.check(config, known, ("run", found.run_id), hint)
    with found.file(f"checkpoints/{CHECKPOINTS[checkpoint]}") as path:
        return build(config, path, seed, found.run_id, found.info.data.metrics)


def build(
    config: DictConfig,
    checkpoint: Path,
    seed: int | None = None,
    run_id: str | None = None,
    metrics: dict[str, float] | None = None,
) -> TrainedNetwork:
    """Builds the network of one replica from a run's configuration and a checkpoint of it.

    Raises:
        SettingError: The run has no such replica, or the checkpoint cannot be used.
    """
    asked = ("run", run_id or str(checkpoint))
    try:
        content = load_weights(checkpoint)
    except ValueError as error:
        raise SettingError(*asked, str(error)) from error
    weights = content["state_dict"]
    first, diverged = config.seed, weights["diverged"]
    replica = int(diverged.argmin()) if seed is None else seed - first  # 0 where it did not
    if not 0 <= replica < len(diverged):
        last = first + len(diverged) - 1
        raise SettingError("seed", seed, f"the run's networks have the seeds {first} to {last}")
    if diverged[replica]:
        reason = f"this network's loss became infinite at epoch {int(diverged[replica])}"
        raise SettingError("seed", first + replica, reason)
    one = OmegaConf.merge(
        config, {"seed": first + replica, "replicas": 1, "trainer": {"accelerator": "cpu"}}
    )
    assert isinstance(one, DictConfig)
    settings = configuration.read(one)
    module = assemble(one, settings).module.eval().requires_grad_(False)
    try:
        module.load_state_dict({k: v[replica : replica + 1] for k, v in weights.items()})
    except RuntimeError as error:
        reason = f"its checkpoint cannot be used: {str(error).splitlines()[0]}"
        raise SettingError(*asked, reason) from error
    epochs = content["echo_epochs"]
    return TrainedNetwork(module, one, settings, first + replica, epochs, run_id, metrics or {})
