"""Checkpoints are whole or not there, and nothing else is taken for one."""

from pathlib import Path

import pytest
import torch

from echo_exp.checkpoints import _whole, load


def test_an_interrupted_writing_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), _whole(path) as partial:
        partial.write_text("ne")
        raise KeyboardInterrupt
    assert path.read_text() == "old"


def test_a_finished_writing_takes_the_place_of_the_old(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    path.write_text("old")
    with _whole(path) as partial:
        partial.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 cut off"])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"last\.ckpt is truncated or no checkpoint"):
        load(path)


class _Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('it ran')",)


@pytest.mark.parametrize("content", [{"state_dict": {}}, {"state_dict": _Code()}, [1, 2]])
def test_foreign_content_is_refused_and_never_run(tmp_path: Path, content: object) -> None:
    path = tmp_path / "last.ckpt"
    torch.save(content, path)
    with pytest.raises(ValueError, match="no checkpoint of echo_exp"):
        load(path)
