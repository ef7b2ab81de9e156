"""A trained network, rebuilt from its run, for commands and notebooks."""

import base64
import functools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from echo_exp import configuration
from echo_exp.configuration import Settings, trust
from echo_exp.configuration.assembly import assemble
from echo_exp.configuration.renamed import renamed
from echo_exp.settings import SettingError, choice, integer
from echo_exp.task.problem import Problem, Stream, random_stream
from echo_exp.tracking.settings import LOCAL, TrackingSettings
from echo_exp.training.checkpoint_names import BEST, LAST
from echo_exp.training.checkpoints import load_weights
from echo_exp.training.module import EchoModule
from echo_exp.training.slices import cut_network
from echo_exp.training.walks import as_trained, walk

if TYPE_CHECKING:
    from echo_exp.tracking.access.reader import FinishedRun

CHECKPOINTS = {"last": LAST, "best": BEST}
LEARNING_CURVE = "learning_curve.png"
"""The name of the figure among a run's artifacts."""
MAIN = re.compile(r"model|model\..*|representation|missing|optimizer\.learning_rate|batch_size")
"""The settings that a network shows first."""
MOST_WINDOWS = 8
"""At most this many windows of a sequence are shown."""


@dataclass(frozen=True, repr=False)
class Echo:
    """A network's answers to a sequence.

    Attributes:
        sequence: The sequence, [L].
        windows: Its windows, [W, n_in]; in the echo problem W = L - n_in + 1.
        expected: The right answers, [W, n_out].
        predicted: The network's answers, [W, n_out].
        outputs: The probability of each value at each place, [W, n_out, V], if V is ``n_values``;
            otherwise the outputs as they are, such as a number from 0 to 1.
    """

    sequence: Tensor
    windows: Tensor
    expected: Tensor
    predicted: Tensor
    outputs: Tensor

    def __repr__(self) -> str:
        """Returns it in one line."""
        right, of = int((self.expected == self.predicted).sum()), self.expected.numel()
        return f"Echo({len(self.windows)} windows, {right} of {of} answers right)"


@dataclass(frozen=True, repr=False)
class TrainedNetwork:
    """A network as it was at the end of its training: one replica of a run.

    Attributes:
        module: The network with its problem and representation; its replica axis is 1.
        config: The resolved configuration of the run.
        settings: The checked settings of this configuration.
        seed: The seed of the replica.
        epochs: Tutorial epochs that it was trained for.
        run_id: MLflow's id of the run; None if it was not tracked.
        metrics: The final metrics of the run.
        curve: Returns the learning curve of the run as a PNG file; None where there is none.
    """

    module: EchoModule
    config: DictConfig
    settings: Settings
    seed: int
    epochs: int
    run_id: str | None
    metrics: dict[str, float]
    curve: Callable[[], bytes | None] = field(default=lambda: None, repr=False, compare=False)

    @property
    def problem(self) -> Problem:
        """The problem that it was trained on."""
        return self.module.problem

    @torch.inference_mode()
    def predict(self, sequence: Iterable[int | str], carry: bool = True) -> Echo:
        """Lets the network answer a sequence.

        Args:
            sequence: Integers, and signs of the problem's marks. In the echo problem these are
                ``n_in`` or more integers from 0 to ``n_values - 1``, which are cut into windows.
            carry: Whether the state is carried as in training, from element i of a batch to element
                i of the next; otherwise each window starts at zero.

        Returns:
            The windows of the sequence with expected and predicted answers.

        Raises:
            SettingError: The problem has no such sequence.
        """
        if isinstance(sequence, str):
            raise SettingError("sequence", sequence, "it must be a list of integers and signs")
        integers = self.problem.sequence(sequence)
        windows = torch.from_numpy(self.problem.windows(integers).copy())  # [rows, n_in]
        outputs = self._outputs(windows, carry)[self.problem.n_incomplete :]  # [W, n_out, V]
        windows = windows[self.problem.n_incomplete :]
        predicted = self.module.representation.decode(outputs)
        if outputs.shape[-1] == self.problem.n_values:
            outputs = outputs.softmax(-1)
        expected = self.problem.targets(windows)
        return Echo(torch.from_numpy(integers), windows, expected, predicted, outputs)

    def __repr__(self) -> str:
        """Returns it in one line."""
        kind, run = configuration.parameters(self.config)["model"], self.run_id or "no store"
        return f"TrainedNetwork({kind}, seed {self.seed}, {self.epochs:,} epochs, run {run})"

    def _repr_html_(self) -> str:
        """Shows it in a notebook: settings, scores, an echo of one sequence, the learning curve."""
        from jinja2 import Environment, PackageLoader, StrictUndefined

        pages = Environment(
            loader=PackageLoader("echo_exp", "."), autoescape=True, undefined=StrictUndefined
        )
        problem, every = self.problem, configuration.parameters(self.config)
        echo = self.predict(problem.generate(random_stream(self.seed, Stream.LISTING), 1)[0])
        picture = self.curve()
        return pages.get_template("network.html.j2").render(
            network=self,
            kind=configuration.problem_kind(self.config),
            settings={name: value for name, value in every.items() if MAIN.fullmatch(name)},
            every=every,
            scores=list(_scores(self.metrics)),
            windows=echo.windows[:MOST_WINDOWS].tolist(),
            answers=torch.stack([echo.expected, echo.predicted], -1)[:MOST_WINDOWS].tolist(),
            wrong=int((echo.expected != echo.predicted).sum()),
            of=echo.expected.numel(),
            picture=None if picture is None else base64.b64encode(picture).decode(),
        )

    def _outputs(self, windows: Tensor, carry: bool) -> Tensor:
        """Returns the outputs of windows in their order, [rows, n_in] -> [rows, n_out, V]."""
        sequences = windows.unsqueeze(0 if carry else 1)  # else each window is a sequence
        batches = walk(self.module, sequences, as_trained(self.module))
        return torch.cat([batch.outputs.flatten(0, 1) for batch in batches])


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
        seed: Seed of the replica; None for the first that did not diverge.
        checkpoint: ``last`` or ``best`` (by validation accuracy).
        trusted: Classes that the run's configuration may call beside those of this package, such as
            ``my_models.Elman``.

    Raises:
        SettingError: There is no such run, it has not finished, or it or its store cannot be used.
    """
    # Imported here because a training builds networks too, and would wait seconds for MLflow.
    from echo_exp.tracking.access import reader

    choice("checkpoint", checkpoint, tuple(CHECKPOINTS))
    found = reader.find(store, run)
    known = {
        (f"{g}.{configuration.TARGET}", name) for g in configuration.GROUPS for name in trusted
    }
    config = renamed(found.config)
    config.pop(configuration.CALLBACKS, None)  # they belong to the training, which is over
    trust.check(config, known, ("run", found.run_id), by_name=True)
    hint = "; checkpoint=best may exist" if checkpoint == "last" else ""
    with found.file(f"checkpoints/{CHECKPOINTS[checkpoint]}", hint) as path:
        curve = functools.partial(_curve, found)
        return build(config, path, seed, found.run_id, found.info.data.metrics, curve)


def build(
    config: DictConfig,
    checkpoint: Path,
    seed: int | None = None,
    run_id: str | None = None,
    metrics: dict[str, float] | None = None,
    curve: Callable[[], bytes | None] = lambda: None,
) -> TrainedNetwork:
    """Builds the network of one replica from the configuration of a run and one of its checkpoints.

    Args:
        config: The configuration.
        checkpoint: The file of the checkpoint.
        seed: Seed of the replica; None for the first that did not diverge.
        run_id: MLflow's id of the run, if it was tracked.
        metrics: The final metrics of the run.
        curve: Returns the learning curve of the run as a PNG file, or None.

    Raises:
        SettingError: The run has no such replica, or the checkpoint cannot be used.
    """
    asked = ("run", run_id or str(checkpoint))
    if seed is not None:
        integer("seed", seed, 0)
    try:
        content = load_weights(checkpoint)
    except ValueError as error:
        raise SettingError(*asked, str(error)) from error
    weights = content["state_dict"]
    first, diverged = config.seed, weights["diverged"]
    replica = int(diverged.argmin()) if seed is None else seed - first  # 0 if it did not
    if not 0 <= replica < len(diverged):
        last = first + len(diverged) - 1
        raise SettingError(
            "seed", seed, f"the networks of the run have the seeds {first} to {last}"
        )
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
        module.load_state_dict(cut_network(weights, module.state_dict(), replica))
    except (RuntimeError, IndexError, TypeError) as error:
        reason = f"its checkpoint cannot be used: {str(error).splitlines()[0]}"
        raise SettingError(*asked, reason) from error
    epochs = content["echo_epochs"]
    metrics = metrics or {}
    return TrainedNetwork(module, one, settings, first + replica, epochs, run_id, metrics, curve)


def _curve(found: "FinishedRun") -> bytes | None:
    """Returns the figure among a run's artifacts, if it is still there."""
    try:
        with found.file(LEARNING_CURVE) as path:
            return path.read_bytes()
    except SettingError:
        return None


def _scores(metrics: Mapping[str, float]) -> Iterator[tuple[str, str, str]]:
    """Yields the name and value of each test score, and its interval or the spread over seeds."""
    for name, value in metrics.items():
        if not name.startswith("test/") or name.endswith(("_low", "_high")) or name.count("/") > 1:
            continue
        spread = ""
        if f"{name}_low" in metrics:
            low, high = metrics[f"{name}_low"], metrics[f"{name}_high"]
            spread = f"{low:.4f} to {high:.4f}, 95 % interval"
        elif f"{name}/std" in metrics:
            std, least, most = (metrics[f"{name}/{end}"] for end in ("std", "min", "max"))
            spread = f"± {std:.4f} ({least:.4f} to {most:.4f}), mean of all seeds of the run"
        yield name, f"{value:.4f}", spread
