"""A run that cannot be resumed gets one message."""

import pytest

from .conftest import Program
from .nursery import Nursery


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Program:
    """A program with one run that has a checkpoint and did not finish."""
    program = Program(tmp_path_factory.mktemp("unfinished"), nursery)
    assert program.run("epochs=25").returncode == 0
    (run,) = program.runs()
    program.client.set_terminated(run.info.run_id, "FAILED")
    return program


def test_resuming_an_unknown_run_names_the_newest(unfinished: Program) -> None:
    done = unfinished.run("resume=0123456789abcdef")
    (run,) = unfinished.runs()
    assert done.returncode == 2
    assert "resume=0123456789abcdef" in done.stderr
    assert run.info.run_id in done.stderr


def test_resuming_a_finished_run_is_refused(
    baseline: tuple[Program, object],
) -> None:
    program, _ = baseline
    done = program.run("resume=last")
    assert done.returncode == 2
    assert "has finished" in done.stderr
    assert len(program.runs()) == 1


@pytest.mark.parametrize(
    ("override", "difference"),
    [
        ("model.units=30", "model.units is 30 here and 20 there"),
        ("epochs=900", "epochs is 900 here and 25 there"),
        ("experiment=encoder_decoder_baseline", "batch_size is 21 here and 7 there"),
    ],
)
def test_resuming_with_another_configuration_says_what_differs(
    unfinished: Program, override: str, difference: str
) -> None:
    done = unfinished.run("resume=last", override)
    assert done.returncode == 2
    assert difference in done.stderr


@pytest.mark.parametrize("damage", ["truncated", "foreign"])
def test_a_checkpoint_that_cannot_be_used_is_named(unfinished: Program, damage: str) -> None:
    (path,) = (unfinished.folder / "outputs").glob("**/last.ckpt")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"foreign")
    try:
        done = unfinished.run("resume=last")
    finally:
        path.write_bytes(content)
    assert done.returncode == 2
    assert str(path) in done.stderr
    assert "Traceback" not in done.stderr
