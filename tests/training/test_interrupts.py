"""Signals that ask to stop."""

import signal

import pytest

from echo_exp.training.interrupts import Interrupted, Interrupts


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_raises_immediately(signum: signal.Signals) -> None:
    with Interrupts(), pytest.raises(Interrupted, match=signum.name):
        signal.raise_signal(signum)


def test_a_deferred_signal_is_remembered_and_a_second_raises() -> None:
    with Interrupts() as interrupts:
        interrupts.put_off()
        signal.raise_signal(signal.SIGTERM)
        assert interrupts.pending == signal.SIGTERM
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGTERM)


def test_afterwards_the_former_handlers_are_restored() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupts():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
