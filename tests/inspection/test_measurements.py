"""Measurements of networks whose states, gates and answers are known."""

import numpy as np
import pytest
import torch
from torch import Tensor

from echo_exp import EchoModule, EchoProblem, Scaled
from echo_exp.inspection import measurements
from echo_exp.inspection.measurements import CARRIED, NOISE, SWAPPED, ZERO, Probe
from echo_exp.inspection.traces import trace
from echo_exp.training import walks

from . import nets
from .nets import Answering, V, one_hot

PROBLEM = EchoProblem(length=10, n_values=V, n_in=3, n_out=3)  # 8 windows
SEQUENCES = 120


def _windows(module: EchoModule, count: int = SEQUENCES) -> Tensor:
    return walks.fresh(module, 0, count)


def _probe(module: EchoModule, carried: bool = False) -> Probe:
    windows = _windows(module)
    traced = trace(module, windows, walks.keep if carried else walks.reset)["lstm"]
    return measurements.probe(module, windows, traced, carried)


def _answered(answer: object, problem: EchoProblem = PROBLEM) -> tuple[EchoModule, Tensor, Tensor]:
    module = nets.module(Answering(answer), problem, 4)  # type: ignore[arg-type]
    windows = _windows(module)
    return module, windows, walks.echoes(module, windows)


def test_a_probe_finds_the_only_position_that_is_held() -> None:
    probe = _probe(nets.first_only(PROBLEM, 4))
    assert (probe.accuracy.value[:, :, 0] == 1).all()
    assert not probe.above_chance()[:, :, 1:].any()
    assert np.allclose(probe.accuracy.value[:, :, 1:], 1 / V, atol=0.04)


def test_a_probe_follows_what_is_forgotten() -> None:
    for kind in _probe(nets.newest_only(PROBLEM, 4)).accuracy.value:
        assert (kind.diagonal() == 1).all()
        assert np.allclose(kind[~np.eye(3, dtype=bool)], 1 / V, atol=0.06)


def test_an_integer_not_yet_read_is_probed_no_better_than_chance() -> None:
    probe = _probe(nets.seq2seq(PROBLEM, 4, units=16))  # untrained
    read = np.tril(np.ones((3, 3), dtype=bool))
    assert probe.accuracy.value[:, read].min() > 0.2
    assert np.allclose(probe.accuracy.value[:, ~read], 1 / V, atol=0.06)
    assert np.allclose(probe.shuffled[:, 0], probe.chance, atol=0.02)
    assert (probe.shuffled[:, 1] < probe.chance).all()
    assert (probe.chance < probe.shuffled[:, 2]).all()


def test_a_carried_state_holds_integers_shared_with_the_previous_window() -> None:
    """With one window per batch, the previous one has all integers of this one but the newest."""
    read = np.tril(np.ones((3, 3), dtype=bool))
    carried = _probe(nets.seq2seq(PROBLEM, 1, units=16), carried=True).accuracy.value[2]
    assert carried[0, 1] > 0.3  # the newest of the window before
    assert np.allclose(carried[:2, 2], 1 / V, atol=0.06)
    apart = _probe(nets.seq2seq(PROBLEM, 4, units=16), carried=True).accuracy.value[2]
    assert np.allclose(apart[~read], 1 / V, atol=0.06)


def test_probes_are_tested_on_sequences_that_they_were_not_fitted_to() -> None:
    module = nets.first_only(PROBLEM, 4)
    windows = _windows(module)
    probe = measurements.probe(module, windows, trace(module, windows, walks.keep)["lstm"], True)
    assert probe.windows == probe.held_out == SEQUENCES // 2 * 4  # behind the first batch


def test_measured_states_and_gates_equal_those_that_were_set() -> None:
    module = nets.first_only(PROBLEM, 4)
    windows = _windows(module)
    traced = trace(module, windows, walks.reset)["lstm"]
    states = measurements.states(module, windows, traced)
    first = int(states.window[0]) + 1
    assert states.cell is not None
    assert states.hidden.shape == states.cell.shape == (4, V + 1)
    assert states.cell[:, 0] == pytest.approx([0, 1, 2, 3])  # it counts
    assert states.cell[:, first] == pytest.approx([0, 1, 1, 1])
    assert states.hidden[1:, first] == pytest.approx([np.tanh(1)] * 3)
    gates = measurements.gates(traced)
    assert gates.windows == SEQUENCES * 8
    assert gates.mean[0] == pytest.approx(np.ones((3, V + 1)))
    assert gates.mean[1, 0] == pytest.approx(np.ones(V + 1))
    assert gates.mean[1, 1:, 1:] == pytest.approx(np.zeros((2, V)), abs=1e-6)
    assert gates.open[1] == pytest.approx([1, 1 / (V + 1), 1 / (V + 1)])
    assert gates.closed[1] == pytest.approx([0, V / (V + 1), V / (V + 1)])


def test_with_a_carried_state_a_window_after_the_first_batch_is_shown() -> None:
    for batch_size, carried in ((4, True), (8, False)):
        module = nets.seq2seq(PROBLEM, batch_size, units=5)
        windows = _windows(module)
        traced = trace(module, windows, walks.as_trained(module))["lstm"]
        states = measurements.states(module, windows, traced)
        assert states.carried == carried
        assert bool(states.hidden[0].any()) == carried
        assert states.window == windows[0, 4 if carried else 0].tolist()


def test_errors_are_counted_at_the_position_where_they_occur() -> None:
    def second_is_wrong(x: Tensor, _: Tensor) -> Tensor:
        return one_hot((x + torch.tensor([0, 1, 0])) % V)

    module, windows, echoes = _answered(second_is_wrong)
    errors = measurements.errors(module, windows, echoes)
    assert errors.place.value.tolist() == [0, 1, 0]
    assert errors.row.value == pytest.approx([1 / 3] * 8)
    assert float(errors.all.value) == pytest.approx(1 / 3)
    assert errors.place.high[0] > 0  # so many windows leave something open


def test_errors_are_counted_in_the_batch_where_they_occur() -> None:
    """Right only where the state is zero: in the first batch."""

    def right_at_zero(x: Tensor, before: Tensor) -> Tensor:
        return one_hot(torch.where(before == 0, x, (x + 1) % V))

    problem = EchoProblem(length=10, n_values=V, n_in=3, n_out=3)
    module, windows, _ = _answered(right_at_zero, problem)
    windows = windows.clamp(min=1)  # a last integer of 0 would look like a state of zero
    errors = measurements.errors(module, windows, walks.echoes(module, windows))
    assert errors.row.value.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert (errors.batch_size, errors.first_row) == (4, 0)


def test_a_network_that_repeats_the_first_integer_is_right_at_the_first_position() -> None:
    module, windows, echoes = _answered(lambda x, _: one_hot(x[..., :1].expand(x.shape)))
    errors = measurements.errors(module, windows, echoes)
    assert errors.place.value[0] == 0
    for place in (1, 2):
        assert errors.place.low[place] < 1 - 1 / V < errors.place.high[place]


def test_the_confusion_of_answers_that_are_one_too_large() -> None:
    module = nets.module(Answering(lambda x, _: x + 1 / (V - 1)), PROBLEM, 4, Scaled(V))
    windows = _windows(module)
    found = measurements.confusion(module, windows, walks.echoes(module, windows))
    row, column = np.nonzero(found.counts)
    assert column.tolist() == [*range(1, V), V - 1]  # there is none larger than the last
    assert row.tolist() == list(range(V))
    assert found.off[0] == found.counts[-1, -1]
    assert found.off[1] == found.counts.sum() - found.counts[-1, -1]
    assert found.counts.sum() == SEQUENCES * 8 * 3


def test_many_integers_are_grouped_in_the_confusion() -> None:
    problem = EchoProblem(length=10, n_values=1000, n_in=3, n_out=3)
    module = nets.module(Answering(lambda x, _: x), problem, 4, Scaled(1000))
    windows = _windows(module)
    found = measurements.confusion(module, windows, walks.echoes(module, windows))
    assert found.counts.shape == (100, 100)
    assert found.counts.trace() == found.counts.sum() == found.off[0]


def test_a_network_that_ignores_its_state_has_equal_skill_with_any_state() -> None:
    module, windows, _ = _answered(lambda x, _: one_hot(x // 2 * 2))
    skill = measurements.skill(module, windows)
    assert len({float(share.value) for share in skill.start.values()}) == 1
    assert (skill.per_sequence, skill.trained) == (2, 2)
    assert len(skill.batches.value) == 8


def test_a_network_that_carries_no_state_is_trained_for_one_batch() -> None:
    module, windows, _ = _answered(lambda x, _: one_hot(x // 2 * 2))
    module.model.stateful = False
    skill = measurements.skill(module, windows)
    assert (skill.per_sequence, skill.trained) == (2, 1)


def test_a_network_that_answers_from_its_state_needs_the_carried_one() -> None:
    """With one window of two integers per batch, the first was the last of the previous window."""
    problem = EchoProblem(length=6, n_values=V, n_in=2, n_out=1)
    from_state = Answering(lambda _, before: one_hot(before.round().long().clamp(0, V - 1)))
    module = nets.module(from_state, problem, 1)
    skill = measurements.skill(module, _windows(module, 800))
    assert float(skill.start[CARRIED].value) == 1
    for name in (ZERO, SWAPPED):
        assert float(skill.start[name].low) < skill.chance < float(skill.start[name].high)
    assert float(skill.start[NOISE].value) < 0.25
    expected = [float(b % 5 != 0) for b in range(10)]  # a sequence begins: nothing was before it
    assert skill.batches.value[:10].round(0).tolist() == expected


def test_if_a_sequence_is_one_batch_the_state_is_carried_to_the_next_sequence() -> None:
    module = nets.module(Answering(lambda x, b: one_hot(x * (b == 0))), PROBLEM, 8)
    skill = measurements.skill(module, _windows(module).clamp(min=1))
    assert skill.trained == 1
    assert float(skill.start[ZERO].value) == 1
    assert float(skill.start[CARRIED].value) == 0
    assert skill.batches.value.tolist() == [1, *[0] * 7]


def test_sequences_are_swapped_only_among_each_other() -> None:
    state = torch.arange(6).view(1, 6, 1).float()  # [R, S*B, U] of three sequences
    swapped = walks.swapped(3)((state,))
    assert swapped is not None
    assert swapped[0].flatten().tolist() == [4, 5, 0, 1, 2, 3]


def test_incomplete_windows_are_not_measured() -> None:
    problem = EchoProblem(length=8, n_values=V, n_in=3, n_out=3, incomplete=True)
    module = nets.module(Answering(lambda x, _: one_hot(x)), problem, 4)
    windows = _windows(module)
    errors = measurements.errors(module, windows, walks.echoes(module, windows))
    assert (len(errors.row.value), errors.first_row) == (6, 2)
    assert float(errors.all.value) == 0


def test_no_portion_consists_of_a_single_sequence() -> None:
    module = nets.seq2seq(EchoProblem(length=1000, n_values=1000), 996, units=2)
    sizes = [len(part) for part in walks.portions(module, torch.zeros(7, 1))]
    assert sum(sizes) == 7
    assert min(sizes) >= 2
    assert len(sizes) > 1
