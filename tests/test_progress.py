"""What is shown while training: a line now and then, or a bar."""

import re

import pytest

from echo_exp.progress import Progress

from .training import make_data, make_module, make_trainer


def _shown(epochs: int, block: int, bar: bool, capsys: pytest.CaptureFixture[str]) -> str:
    trainer = make_trainer(Progress(epochs, bar), validate=1000)
    trainer.fit(make_module(), make_data(epochs, block=block))
    return capsys.readouterr().err


def test_ten_lines_tell_of_a_training(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        line for line in _shown(100, 2, False, capsys).splitlines() if line.startswith("epoch")
    ]
    assert [line.split()[1] for line in lines] == [str(n) for n in range(10, 101, 10)]
    pattern = r"epoch \d+ of 100: loss \d+\.\d{3}, accuracy \d\.\d{3}, [\d,]+ epochs/s, \d+ s left"
    assert all(re.fullmatch(pattern, line) for line in lines)


def test_a_short_training_has_a_line_a_block(capsys: pytest.CaptureFixture[str]) -> None:
    shown = _shown(3, 1, False, capsys)
    assert re.findall(r"^epoch (\d) of 3", shown, re.MULTILINE) == ["1", "2", "3"]


def test_a_bar_ends_full_with_loss_and_accuracy(capsys: pytest.CaptureFixture[str]) -> None:
    shown = _shown(20, 5, True, capsys)
    assert "100%" in shown
    assert "20/20 epochs" in shown
    assert re.search(r"loss \d\.\d{3}, accuracy \d\.\d{3}", shown)
