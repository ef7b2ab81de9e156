"""A user's own network, problem and callbacks, as docs/own_model.md shows them."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose
from hydra.initialize import initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback, StochasticWeightAveraging

from echo_exp import configuration, running
from echo_exp.configuration.assembly import assemble
from echo_exp.settings import SettingError
from echo_exp.task.problem import MISSING
from echo_exp.training.module import EchoModule

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
SMALL = ("problem.n_values=6", "problem.length=12", "problem.n_in=4", "problem.n_out=2")
TRAINING = ("batch_size=3", "epochs=25", "trainer.progress=none", "tracking=none")
NETWORK = ("model=elman", "model.units=8", *SMALL)


@pytest.fixture(autouse=True)
def _own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.chdir(tmp_path)
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        yield
    for name in ("addition", "binary", "elman", "forget_gate", "sign_descent"):
        sys.modules.pop(name, None)


def _composed(*overrides: str) -> DictConfig:
    return compose("config", [f"hydra.searchpath=[file://{EXAMPLES}]", *overrides])


def _module(*overrides: str) -> EchoModule:
    config = _composed(*overrides)
    return assemble(config, configuration.read(config)).module


def _network(*overrides: str) -> Any:
    return _module(*NETWORK, "batch_size=3", *overrides).model


def test_an_own_problem_is_learnt_and_its_network_can_predict() -> None:
    own = ("problem=addition", "model=many_to_one", "model.stateful=false", "batch_size=3")
    config = _composed(*own, "epochs=300", "optimizer.learning_rate=0.01", *TRAINING[2:])
    outcome = running.execute(config).outcome
    assert outcome.scores["test/accuracy"] > 0.9
    listing = outcome.listing
    for window, (answer,) in zip(listing.windows, listing.expected, strict=True):
        assert sum(map(int, window)) % 5 == answer


def test_each_replica_of_an_own_network_equals_the_network_of_its_seed() -> None:
    x = torch.randint(6, (2, 3, 4))  # [R, B, T]
    both, state = _network("replicas=2", "seed=5")(x)
    assert both.shape == (2, 3, 2, 6)
    for replica in range(2):
        alone, own = _network(f"seed={5 + replica}")(x[replica : replica + 1])
        torch.testing.assert_close(alone[0], both[replica])
        torch.testing.assert_close(own[0][0], state[0][replica])


@pytest.mark.parametrize(
    "choice", [("representation=scaled",), ("missing=mask",), ("missing=sentinel", "replicas=2")]
)
def test_an_own_network_works_with_every_representation_and_policy(choice: tuple[str, ...]) -> None:
    outcome = running.execute(_composed(*NETWORK, *choice, *TRAINING)).outcome
    assert all(torch.isfinite(torch.tensor(scores)).all() for scores in outcome.scores.values())


def test_an_own_representation_is_learnt() -> None:
    fast = ("optimizer.learning_rate=0.01", "epochs=200", *TRAINING[2:])
    outcome = running.execute(_composed("representation=binary", *fast)).outcome
    assert outcome.scores["test/accuracy"] > 0.95
    assert (outcome.scores["test/bits"] >= outcome.scores["test/accuracy"]).all()


@pytest.mark.parametrize("n_values", [2, 8, 100])
def test_the_bits_of_an_own_representation_are_those_of_its_integers(n_values: int) -> None:
    binary = _module("representation=binary", f"problem.n_values={n_values}").representation
    integers = torch.arange(n_values)
    outputs = binary.encode(integers) - 0.5
    assert torch.equal(binary.decode(outputs), integers)
    assert not binary.loss(outputs, torch.full_like(integers, MISSING)).any()


def test_an_own_optimizer_updates_the_networks_of_a_stack_as_each_alone() -> None:
    rates = (0.002, 0.01)
    weights = torch.nn.Parameter(torch.ones(2, 3, 4))  # [R, F, U]
    optimizer = _module("optimizer=sign_descent").make_optimizer([weights])
    optimizer.param_groups[0]["lr"] = torch.tensor(rates)
    weights.grad = torch.full_like(weights, 5.0)
    optimizer.step()
    torch.testing.assert_close(weights[:, 0, 0].detach(), 1 - torch.tensor(rates))


def test_a_skipped_timestep_does_not_change_the_state_of_an_own_network() -> None:
    network = _network()
    x = torch.randint(6, (1, 3, 4))
    present = torch.tensor([False, True, True, True]).expand(1, 3, 4)
    other = x.clone()
    other[..., 0] = (x[..., 0] + 1) % 6
    torch.testing.assert_close(network(x, None, present)[0], network(other, None, present)[0])
    assert not torch.equal(network(x)[0], network(other)[0])


def test_a_result_that_cannot_be_printed_is_not_lost() -> None:
    def closed(_: object) -> None:
        raise BrokenPipeError

    assert running.execute(_composed(*NETWORK, *TRAINING), on_outcome=closed).outcome.windows


def test_a_callback_can_end_a_training() -> None:
    fast = ("model=elman", "optimizer.learning_rate=0.02", "epochs=500", *TRAINING[2:])
    outcome = running.execute(_composed(*fast, "+callbacks=stop_when_solved")).outcome
    last = outcome.curves["train/loss"][0][-1]
    assert last == outcome.epochs_to_solve[0] < 500


def test_a_callback_can_add_a_score_to_each_validation() -> None:
    config = _composed("+callbacks=forget_gate", "model.units=4", "replicas=2", *TRAINING[1:])
    epochs, values = running.execute(config).outcome.curves["val/forget_gate"]
    assert epochs == [25]
    assert values.shape == (1, 2)
    assert values == pytest.approx(torch.sigmoid(torch.ones(1)).item(), abs=0.02)


def test_without_a_callback_the_fingerprint_is_that_of_a_configuration_without_the_key() -> None:
    config = _composed()
    reference = configuration.fingerprint(config)
    OmegaConf.set_struct(config, False)
    del config.callbacks
    assert configuration.fingerprint(config) == reference
    configuration.read(config)


def test_the_fingerprint_includes_a_callback_and_its_arguments() -> None:
    chosen = ("+callbacks=stop_when_solved",)
    prints = {
        configuration.fingerprint(_composed(*overrides))
        for overrides in ((), chosen, (*chosen, "callbacks.stop_when_solved.patience=3"))
    }
    assert len(prints) == 3


WRONG = {
    "callbacks.x=3": ("+callbacks.x=3",),
    "callbacks.x._target_=null": ("+callbacks.x={}",),
    "callbacks.x._target_=nowhere.There .*No module named 'nowhere'": (
        "+callbacks.x._target_=nowhere.There",
    ),
    "callbacks.x.paience=3 .*did you mean callbacks.x.patience": (
        "+callbacks.x={_target_: pytorch_lightning.callbacks.EarlyStopping, paience: 3}",
    ),
    "callbacks.x.monitor=null .*needs it": (
        "+callbacks.x={_target_: pytorch_lightning.callbacks.EarlyStopping}",
    ),
    "callbacks.stop_when_solved=.*`mode` can be": (
        "+callbacks=stop_when_solved",
        "callbacks.stop_when_solved.mode=up",
    ),
    "callbacks.x=.*it must be a pytorch_lightning.Callback": (
        "+callbacks.x={_target_: echo_exp.task.missing.Drop}",
    ),
}


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_callback_is_named_before_anything_is_written(message: str) -> None:
    config = _composed(*WRONG[message], "tracking=none", "epochs=1")
    with pytest.raises(SettingError, match=message):
        running.execute(config)
    assert not list(Path().glob("outputs/*"))


AVERAGING = "pytorch_lightning.callbacks.StochasticWeightAveraging"


def test_a_callback_without_effect_here_is_named_before_anything_is_written() -> None:
    """Given as a setting, and from Python."""
    named = f"+callbacks.x={{_target_: {AVERAGING}, swa_lrs: 0.1}}"
    message = "=StochasticWeightAveraging is not allowed: it averages"
    with pytest.raises(SettingError, match=rf"^callbacks\.x{message}"):
        running.execute(_composed(named, "tracking=none", "epochs=1"))
    made = StochasticWeightAveraging(0.1)
    with pytest.raises(SettingError, match=f"^callbacks{message}"):
        running.execute(_composed("tracking=none", "epochs=1"), callbacks=lambda: [made])
    assert not list(Path().glob("outputs/*"))


class Given(Callback):
    """Keeps its arguments."""

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments


def test_lists_and_mappings_arrive_as_plain_python() -> None:
    arguments = "{seconds: 3, deep: [{a: [1, 2]}]}"
    config = _composed(f"+callbacks.x={{_target_: {__name__}.Given, given: {arguments}}}")
    (node,) = configuration.callbacks(config).values()
    given = configuration.build(node, "callbacks.x").arguments["given"]
    assert given == {"seconds": 3, "deep": [{"a": [1, 2]}]}
    assert [type(given), type(given["deep"]), type(given["deep"][0]["a"])] == [dict, list, list]


def test_lists_and_mappings_of_an_optimizer_arrive_as_plain_python() -> None:
    node = {"_target_": f"{__name__}.Given", "_partial_": True, "betas": [0.5, 0.9]}
    make = configuration.build(OmegaConf.create(node), "optimizer")
    assert type(make().arguments["betas"]) is list


def test_a_timer_is_given_its_duration() -> None:
    timer = "+callbacks.x={_target_: pytorch_lightning.callbacks.Timer, duration: {hours: 3}}"
    assert running.execute(_composed(*NETWORK, *TRAINING, timer)).outcome.windows


def test_callbacks_that_are_not_a_mapping_are_refused() -> None:
    config = _composed()
    config.callbacks = [1]
    with pytest.raises(SettingError, match=r"callbacks=\[1\] is not allowed: it must be a mapping"):
        configuration.read(config)
