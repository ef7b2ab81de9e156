"""A problem other than the echo, from its pairs to the answers of a trained network."""

import json
import re

from .called import Called
from .conftest import Program

SHORT = ("problem.n_items=2", "problem.delay=3", "problem.n_values=4", "model.units=24")


def test_a_delayed_echo_can_be_trained_resumed_described_and_used(program: Program) -> None:
    done = program.run("experiment=delayed_echo", *SHORT, "epochs=250")
    assert done.returncode == 0, done.stderr
    assert "Expected: [" in done.stdout
    longer = program.run("resume=last", "epochs=300")
    assert longer.returncode == 0, longer.stderr
    (run,) = (r for r in program.runs() if r.data.params["epochs"] == "300")
    assert run.data.params["problem"] == "DelayedEcho"
    assert "2→2" not in run.info.run_name
    assert "2 after 3" in run.info.run_name
    description = run.data.tags["mlflow.note.content"]
    assert "learns to repeat 2 integers below 4 after 3 blanks" in description
    assert re.search(r"echo-exp-predict .*'\[\d, \d, _, _, _, >, _, _\]'", description)

    told = program.call(
        "echo_exp.commands.predict", "[3, 1]", "[3, 1, _, _, _, >, _, _]", "2 0 1 3"
    )
    lines = told.stdout.splitlines()
    assert lines[:2] == ["[3, 1, _, _, _, >, _, _] -> [3, 1]"] * 2
    assert lines[3] == "[1, 3, _, _, _, >, _, _] -> [1, 3]"
    found = json.loads(program.call("echo_exp.commands.predict", "3 1", "format=json").stdout)
    assert found["windows"] == [[3, 1, "_", "_", "_", ">", "_", "_"]]
    assert (found["sequence"], found["expected"]) == ([3, 1], [[3, 1]])
    wrong = program.call("echo_exp.commands.predict", "[3, 4]")
    assert wrong.returncode == 2
    assert "2 integers below 4" in wrong.stderr
    assert len(wrong.stderr.splitlines()) == 1

    inside = program.call("echo_exp.commands.inspect", "sequences=20")
    assert inside.returncode == 0, inside.stderr
    assert "Not made: probes" in inside.stdout


def test_the_pairs_of_a_problem_are_printed(call: Called) -> None:
    lines = call("echo-exp-pairs", "problem=delayed_echo", "problem.n_items=2", "rows=25").stdout
    assert len(lines.splitlines()) == 25  # of more than one sequence
    assert re.fullmatch(r"\[(\d, \d)(, _){10}, >, _, _\] -> \[\1\]", lines.splitlines()[0])


def test_ten_pairs_of_the_tutorial_are_printed(call: Called) -> None:
    lines = call("echo-exp-pairs").stdout.splitlines()
    assert lines[0] == "[47, 51, 75, 95, 3] -> [47, 51, 75, 95, 3]"
    assert lines[1].startswith("[51, 75, 95, 3, ")
    assert len(lines) == 10


def test_wrong_settings_of_pairs_are_explained_in_one_line(call: Called) -> None:
    for words, message in (
        (("rows=0",), "rows=0 is not allowed: it must be an integer from 1"),
        (("row=3",), "did you mean rows?"),
        (("problem=delayed_echo", "problem.delay=-1"), "problem.delay=-1 is not allowed"),
        (("problem.offset=9",), "problem.offset=9 is not allowed"),
    ):
        done = call("echo-exp-pairs", *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
