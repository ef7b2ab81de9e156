"""A trained network predicts any sequence, with or without the state carried as in training."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig

from echo_exp import network as trained
from echo_exp.settings import SettingError
from echo_exp.task.problem import Stream, random_stream
from echo_exp.training.slices import cut_network

from .networks import small


def test_a_sequence_is_cut_into_windows_and_echoed_as_in_training() -> None:
    network = small("seq2seq", "batch_size=7")
    sequence = np.array([1, 2, 3, 4, 5, 6, 0, 1, 2])
    echo = network.predict(sequence)
    windows = torch.from_numpy(network.problem.windows(sequence[None, None]))
    assert torch.equal(echo.windows, windows[0, 0])
    assert torch.equal(echo.expected, windows[0, 0])
    assert torch.equal(echo.predicted, network.module.predict_step(windows)[0, 0])


def test_incomplete_rows_affect_only_the_state() -> None:
    network = small("many_to_one", "missing=mask", "problem.length=9")
    sequence = np.array([1, 2, 3, 4, 5, 6, 0, 1, 2])
    windows = torch.from_numpy(network.problem.windows(sequence[None, None]))
    expected = network.module.predict_step(windows)[0, 0, 2:]
    assert torch.equal(network.predict(sequence).predicted, expected)


def test_without_a_carried_state_a_window_has_the_same_answer_anywhere() -> None:
    network = small("many_to_one")
    alone = network.predict([1, 2, 3]).outputs[0]
    assert torch.allclose(network.predict([6, 5, 1, 2, 3], carry=False).outputs[-1], alone)
    assert not torch.allclose(network.predict([6, 5, 1, 2, 3]).outputs[-1], alone)


def test_outputs_are_probabilities_or_numbers() -> None:
    assert torch.allclose(small().predict([1, 2, 3]).outputs.sum(-1), torch.ones(1, 2))
    network = small("many_to_one", "representation=scaled")
    echo = network.predict([1, 2, 3])
    assert echo.outputs.shape == (1, 2, 1)
    assert torch.equal(network.module.representation.decode(echo.outputs), echo.predicted)


def test_an_echo_is_shown_in_one_line() -> None:
    echo = small().predict([1, 2, 3, 4])
    right = int((echo.expected == echo.predicted).sum())
    assert repr(echo) == f"Echo(2 windows, {right} of 4 answers right)"


@pytest.mark.parametrize(
    ("sequence", "words"),
    [
        ([1, 2], "reads 3 integers at a time, not 2"),
        ([1, 2, 7], "it contains 7"),
        ([1, 2, -1], "it contains -1"),
        ([1, 2, 2.5], "it contains 2.5"),
        ([1, 2, True], "it contains True"),
        (["1", "2", "3"], "it contains 1"),
        ("1 2 3", "sequence=1 2 3 .* a list of integers"),
    ],
)
def test_an_invalid_sequence_is_refused(sequence: list[int], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        small().predict(sequence)


@pytest.mark.parametrize("sequence", [(1, 2, 3), np.array([1, 2, 3]), torch.tensor([1, 2, 3])])
def test_a_sequence_may_be_a_list_an_array_or_a_tensor(sequence: object) -> None:
    assert small().predict(sequence).sequence.tolist() == [1, 2, 3]  # type: ignore[arg-type]


def _checkpoint(path: Path, diverged: list[int]) -> DictConfig:
    """A checkpoint with one replica for each given epoch of divergence."""
    network = small("seq2seq", f"replicas={len(diverged)}", "seed=10")
    state = network.module.state_dict() | {"diverged": torch.tensor(diverged)}
    torch.save({"state_dict": state, "echo_epochs": 3}, path)
    return network.config


def test_of_several_replicas_the_first_that_did_not_diverge_is_loaded(tmp_path: Path) -> None:
    config = _checkpoint(tmp_path / "a.ckpt", [4, 0, 0])
    network = trained.build(config, tmp_path / "a.ckpt")
    assert (network.seed, network.epochs) == (11, 3)
    own = small("seq2seq", "seed=11").predict([1, 2, 3])
    assert torch.equal(network.predict([1, 2, 3]).outputs, own.outputs)


def test_another_replica_can_be_loaded(tmp_path: Path) -> None:
    config = _checkpoint(tmp_path / "a.ckpt", [0, 7, 0])
    assert trained.build(config, tmp_path / "a.ckpt", seed=12).seed == 12
    for seed in (9, 13):
        with pytest.raises(SettingError, match="seeds 10 to 12"):
            trained.build(config, tmp_path / "a.ckpt", seed=seed)
    with pytest.raises(SettingError, match="infinite at epoch 7"):
        trained.build(config, tmp_path / "a.ckpt", seed=11)


def test_only_what_has_a_replica_axis_is_cut() -> None:
    weights = {
        "kernel": torch.arange(6.0).view(3, 2),
        "mask": torch.ones(3),
        "count": torch.ones(()),
    }
    own = {"kernel": torch.zeros(1, 2), "mask": torch.zeros(3), "count": torch.zeros(())}
    cut = cut_network(weights, own, 2)
    assert cut["kernel"].tolist() == [[4.0, 5.0]]
    assert cut["mask"] is weights["mask"]
    assert cut["count"] is weights["count"]


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    _checkpoint(tmp_path / "a.ckpt", [0])
    with pytest.raises(SettingError, match="checkpoint cannot be used"):
        trained.build(small("many_to_one").config, tmp_path / "a.ckpt")
    (tmp_path / "b.ckpt").write_bytes(b"half")
    with pytest.raises(SettingError, match="truncated"):
        trained.build(small().config, tmp_path / "b.ckpt")


def _shown(network: trained.TrainedNetwork) -> str:
    return network._repr_html_()


def test_a_network_displays_its_settings_and_its_errors_on_a_sequence() -> None:
    network = small("seq2seq", "batch_size=7", "seed=4")
    shown = _shown(network)
    for part in (
        "Seq2Seq, echo 3→3, 7 integers",
        "from seed 4",
        "model.units=4",
        "trainer.threads=auto",
    ):
        assert part in shown
    sequence = network.problem.generate(random_stream(4, Stream.LISTING), 1)[0]
    echo = network.predict(sequence)
    wrong = echo.predicted != echo.expected
    assert f"{int(wrong.sum())} of the 21 integers of this sequence are wrong" in shown
    marked = [int(value) for value in re.findall(r"<mark[^>]*>(\d+)</mark>", shown)]
    assert marked == echo.predicted[wrong].tolist()


def test_a_network_displays_scores_with_intervals_or_the_spread_of_all_seeds() -> None:
    one = {"test/accuracy": 0.5, "test/accuracy_low": 0.4, "test/accuracy_high": 0.625}
    shown = _shown(
        dataclasses.replace(small(), metrics={**one, "test/loss": 1.25, "val/loss": 9.0})
    )
    assert "<b>0.5000</b>" in shown
    assert "0.4000 to 0.6250, 95 % interval" in shown
    assert "1.2500" in shown
    assert "9.0000" not in shown
    many = {f"test/accuracy{end}": 0.5 for end in ("", "/std", "/min", "/max")}
    assert "mean of all seeds" in _shown(dataclasses.replace(small(), metrics=many))


def test_a_network_displays_the_learning_curve_of_its_run_if_there_is_one() -> None:
    assert "<img" not in _shown(small())
    shown = _shown(dataclasses.replace(small(), curve=lambda: b"\x89PNG"))
    assert 'src="data:image/png;base64,iVBORw=="' in shown


def test_the_display_of_a_network_escapes_html() -> None:
    network = dataclasses.replace(small(), run_id="<script>")
    network.config.batch_size = "<b>&"
    shown = _shown(network)
    assert "<script>" not in shown
    assert "batch_size=&lt;b&gt;&amp;" in shown
