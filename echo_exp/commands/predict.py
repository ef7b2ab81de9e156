"""The command `echo-exp-predict`: prints the answers of a trained network."""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, ListConfig

from echo_exp.commands import hydra_main as command
from echo_exp.commands.asked import load, tell_newest
from echo_exp.settings import SettingError, choice
from echo_exp.task.problem import BLANK, GO, NOISE, shown, signs

if TYPE_CHECKING:
    from echo_exp.network import Echo, TrainedNetwork

SEPARATORS = re.compile(r"[\s,;]+")
SIGNS = (BLANK, GO, NOISE)
DIGITS = 4
"""Digits of probabilities in text output."""


def main() -> None:
    """Runs `echo-exp-predict`: exits with 0, or 2 if a setting or a sequence is wrong."""
    command.run(_predict, "predict", unnamed="sequences")


def _predict(config: DictConfig) -> None:
    for key in ("carry", "probabilities"):
        choice(key, config[key], (True, False))
    choice("format", config.format, ("text", "json"))
    sequences = [(source, _parse(text, source)) for source, text in _given(config)]
    if not sequences:
        raise SettingError(
            "sequences", None, "there is no sequence to echo; give one, as in '[7, 3, 99, 0, 42]'"
        )
    network = load(config)
    if config.probabilities and network.module.representation.n_outputs != network.problem.n_values:
        reason = "this network does not predict a probability for each value"
        raise SettingError("probabilities", "true", reason)
    if network.problem.n_in > 1:
        _check_quoted(sequences)
    for source, sequence in sequences:
        _check(network, sequence, source)
    tell_newest(config, network)
    for _, sequence in sequences:
        echo = network.predict(sequence, config.carry)
        windows = [signs(window, network.problem) for window in echo.windows.tolist()]
        write = _json if config.format == "json" else _text
        print(write(echo, windows, config.probabilities))


def _given(config: DictConfig) -> Iterator[tuple[str, str]]:
    """Yields the source of each sequence, and its text."""
    if config.sequences is not None:
        if not isinstance(config.sequences, ListConfig):
            raise SettingError("sequences", config.sequences, "it must be a list of sequences")
        if config.file is not None:
            raise SettingError("file", config.file, "it does not go with sequences as arguments")
        yield from (("sequence", str(text)) for text in config.sequences)
    elif config.file not in (None, "-"):
        yield from _lines(Path(str(config.file)), str(config.file))
    elif config.file == "-" or not sys.stdin.isatty():
        yield from _numbered(sys.stdin, "line")


def _lines(path: Path, name: str) -> Iterator[tuple[str, str]]:
    try:
        yield from _numbered(path.read_text(encoding="utf-8").splitlines(), f"{name}, line")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
        raise SettingError("file", name, f"it cannot be read ({reason})") from error


def _numbered(lines: Iterable[str], name: str) -> Iterator[tuple[str, str]]:
    yield from ((f"{name} {n}", line) for n, line in enumerate(lines, start=1) if line.strip())


def _parse(text: str, source: str) -> list[int | str]:
    """Parses ``[7, 3, _]``, ``7, 3, _`` or ``7 3 _`` into integers and signs of marks."""
    words = SEPARATORS.split(text.strip().removeprefix("[").removesuffix("]").strip())
    if not all(word in SIGNS or re.fullmatch(r"[+-]?\d{1,18}", word) for word in words):
        raise SettingError(source, text.strip(), "it must be integers, as in '[7, 3, 99, 0, 42]'")
    return [word if word in SIGNS else int(word) for word in words]


def _check_quoted(sequences: Sequence[tuple[str, list[int | str]]]) -> None:
    """Refuses several sequences of one integer each: one sequence that lacks its quotes."""
    if len(sequences) > 1 and all(len(sequence) == 1 for _, sequence in sequences):
        text = " ".join(str(sequence[0]) for _, sequence in sequences)
        raise SettingError(sequences[0][0], text, f"a sequence needs quotes, as in '{text}'")


def _check(network: "TrainedNetwork", sequence: list[int | str], source: str) -> None:
    try:
        network.problem.sequence(sequence)
    except SettingError as error:
        raise SettingError(source, error.value, error.allowed) from None


def _text(echo: "Echo", windows: list[list[int | str]], probabilities: bool) -> str:
    """Returns a line for each window, with wrong integers in asterisks."""
    lines = []
    for number, (window, expected, predicted) in enumerate(
        zip(windows, echo.expected.tolist(), echo.predicted.tolist(), strict=True)
    ):
        answers = [f"{b}" if a == b else f"*{b}*" for a, b in zip(expected, predicted, strict=True)]
        if probabilities:
            places = zip(answers, echo.outputs[number], predicted, strict=True)
            answers = [f"{answer} ({p[value]:.{DIGITS}f})" for answer, p, value in places]
        lines.append(f"{shown(window)} -> {shown(answers)}")
    return "\n".join(lines)


def _json(echo: "Echo", windows: list[list[int | str]], probabilities: bool) -> str:
    """Returns a line of JSON with all windows of a sequence."""
    answer: dict[str, Any] = {
        "sequence": echo.sequence.tolist(),
        "windows": windows,
        "expected": echo.expected.tolist(),
        "predicted": echo.predicted.tolist(),
    }
    if probabilities:
        answer["probabilities"] = echo.outputs.tolist()
    return json.dumps(answer)


if __name__ == "__main__":
    main()
