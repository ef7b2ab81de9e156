"""What is shown during training: a line now and then, or a bar."""

import contextlib
import io
import itertools
import re
from collections.abc import Iterator

import pytest

from echo_exp import terminal
from echo_exp.task.data import Loader
from echo_exp.training.progress import Progress

from ..trainers import make_data, make_module, make_trainer


class _Terminal(io.StringIO):
    """A terminal that keeps what is written."""

    def isatty(self) -> bool:
        return True


@contextlib.contextmanager
def _on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Terminal]:
    """Makes standard error a terminal; a fixture would do so before pytest captures it."""
    shown = _Terminal()
    monkeypatch.setattr("sys.stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    terminal.console.cache_clear()
    yield shown
    terminal.console.cache_clear()


def _plain(screen: _Terminal) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", screen.getvalue())


def _shown(epochs: int, block: int, bar: bool, capsys: pytest.CaptureFixture[str]) -> str:
    trainer = make_trainer(Progress(epochs, bar), validate=1000)
    trainer.fit(make_module(), make_data(epochs, block=block))
    return capsys.readouterr().err


def test_a_training_is_shown_in_ten_lines(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        line for line in _shown(100, 2, False, capsys).splitlines() if line.startswith("epoch")
    ]
    assert [line.split()[1] for line in lines] == [str(n) for n in range(10, 101, 10)]
    pattern = r"epoch \d+ of 100: loss \d+\.\d{3}, accuracy \d\.\d{3}, [\d,]+ epochs/s, \d+ s left"
    assert all(re.fullmatch(pattern, line) for line in lines)


def test_a_short_training_has_a_line_per_block(capsys: pytest.CaptureFixture[str]) -> None:
    shown = _shown(3, 1, False, capsys)
    assert re.findall(r"^epoch (\d) of 3", shown, re.MULTILINE) == ["1", "2", "3"]


def test_a_bar_ends_full_with_loss_and_accuracy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with _on_a_terminal(monkeypatch) as screen:
        _shown(20, 5, True, capsys)
    shown = _plain(screen)
    assert "100%" in shown
    assert "20/20 epochs" in shown
    assert re.search(r"loss \d\.\d{3}, accuracy \d\.\d{3}", shown)


def _tested(bar: bool, seconds: float, capsys: pytest.CaptureFixture[str]) -> str:
    """What is shown of a test in four parts, at a clock that goes on so far at each look."""
    clock = itertools.count(step=seconds)
    trainer = make_trainer(Progress(1, bar, now=lambda: float(next(clock))))
    (windows,) = make_data(1).test_dataloader()
    parts = windows.split(1)
    trainer.test(make_module(), Loader(lambda: iter(parts), len(parts)), verbose=False)
    return capsys.readouterr().err


def test_a_long_test_shows_its_progress(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for line in _tested(False, 4.0, capsys).splitlines() if line.startswith("test")]
    assert lines == ["test: 2 of 4 parts, 8 s left", "test: 4 of 4 parts, 0 s left"]


def test_a_bar_is_drawn_once_where_lines_cannot_be_redrawn(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (line,) = _shown(3, 1, True, capsys).splitlines()
    assert re.search(r"training 100% .* 3/3 epochs loss", line)


def test_a_long_test_has_a_bar_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with _on_a_terminal(monkeypatch) as screen:
        _tested(True, 4.0, capsys)
    assert re.search(r"test +50%.*2/4.* parts 8 s left", _plain(screen))


@pytest.mark.parametrize("bar", [True, False])
def test_a_short_test_shows_nothing(bar: bool, capsys: pytest.CaptureFixture[str]) -> None:
    assert "test" not in _tested(bar, 1.0, capsys)


def test_a_long_validation_shows_its_progress(capsys: pytest.CaptureFixture[str]) -> None:
    clock = itertools.count(step=6.0)
    trainer = make_trainer(Progress(5, False, now=lambda: float(next(clock))))
    trainer.fit(make_module(), make_data(5))
    assert "validation: 1 of 1 parts, 0 s left\n" in capsys.readouterr().err
