"""Output on a terminal, and without one."""

import io

import pytest

from echo_exp import terminal


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _printed(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, cell: str, **env: str
) -> list[str]:
    """The lines of a table with a failed job, of a cell and in an environment."""
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", **env}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout", stream)
    terminal.console.cache_clear()
    terminal.console().print(terminal.table([("settings", "result"), (cell, "failed")]))
    terminal.console.cache_clear()
    return stream.getvalue().splitlines()


LONG = " ".join(f"optimizer.number_{n}=[{n}]" for n in range(40))


def test_without_a_terminal_a_row_is_a_plain_line(monkeypatch: pytest.MonkeyPatch) -> None:
    titles, row = _printed(monkeypatch, io.StringIO(), LONG)
    assert titles.split() == ["settings", "result"]
    assert row.rstrip() == f"{LONG}  failed"


def test_a_given_width_also_applies_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = _printed(monkeypatch, io.StringIO(), LONG, COLUMNS="60")
    assert max(map(len, lines)) == 60
    assert "".join(line[:52] for line in lines[1:]).replace(" ", "") == LONG.replace(" ", "")


def test_a_terminal_has_colours_unless_they_are_declined(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[31mfailed" in "".join(_printed(monkeypatch, _Terminal(), "seed=1"))
    assert "\x1b[31m" not in "".join(_printed(monkeypatch, _Terminal(), "seed=1", NO_COLOR="1"))
    assert "\x1b" not in "".join(_printed(monkeypatch, _Terminal(), "seed=1", TERM="dumb"))


@pytest.mark.parametrize(
    ("stream", "term", "redraws"),
    [(_Terminal(), "xterm", True), (_Terminal(), "dumb", False), (io.StringIO(), "xterm", False)],
)
def test_lines_are_redrawn_on_a_terminal_that_supports_it(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, term: str, redraws: bool
) -> None:
    monkeypatch.setenv("TERM", term)
    assert terminal.redraws(stream) is redraws


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (89, "89 s"), (91, "2 min"), (5300, "88 min"), (9e3, "2 h")],
)
def test_a_duration_is_written_as_people_say_it(seconds: float, words: str) -> None:
    assert terminal.duration(seconds) == words
