"""Descriptions of the experiment and of a run, as MLflow's UI shows them."""

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from echo_exp import configuration
from echo_exp.running.resume import CONTINUES
from echo_exp.task.problem import TRAIN_LENGTHS, Problem, at_lengths, shown
from echo_exp.tracking import StoredRun
from echo_exp.tracking.ui import markdown
from echo_exp.tracking.ui.view import page

if TYPE_CHECKING:
    from echo_exp.training.outcome import Outcome

COLUMNS = {
    "`test/accuracy`": "share of single integers right, on fresh windows",
    "`test/sequence_accuracy`": "share of whole outputs right",
    "`val/accuracy`": "the last validation during the training",
    "`epochs_to_solve`": "the first validated epoch with an accuracy of 0.99; empty: never",
    "`replicas`": "networks trained at once, with seeds from `seed` on; scores are means",
}


def experiment() -> str:
    """Describes the experiment of single runs and sweeps."""
    return markdown.text(
        "Networks that learn to echo sequences of random integers: single runs, and sweeps of "
        "them.",
        markdown.table("column", "what it is", COLUMNS.items()),
        "A sweep is one row, and its runs are nested under it. `Views` has the columns and charts "
        "that are useful first.",
        markdown.commands(
            {
                "echo-exp": "another run",
                "echo-exp -m seed=1,2,3 model.units=10,20": "a sweep",
                "echo-exp --help": "all settings",
            }
        ),
    )


def run(
    about: str,
    stored: StoredRun,
    where: Sequence[str],
    outcome: "Outcome | None" = None,
    end: str = "",
) -> str:
    """Describes a run.

    Args:
        about: What it is, see `sentence`.
        stored: The run as the store knows it.
        where: The overrides that tell where runs are written.
        outcome: Its outcome, once there is one.
        end: How it ended, if it ended without an outcome.
    """
    which = [f"run={stored.run_id}", *where]
    again = {stored.tags["mlflow.source.name"]: "repeats it"}
    about = markdown.text(about, _beginning(stored))
    if outcome is None:
        resume = shlex.join(["echo-exp", f"resume={stored.run_id}", *where])
        more = {resume: "continues it where it stopped"}
        return markdown.text(
            markdown.headline(end) if end else "",
            about,
            "" if end else "It has no scores yet.",
            markdown.commands(more),
        )
    window = shown(outcome.listing.windows[0])
    more = {
        shlex.join(["echo-exp-predict", *which, window]): "its echo of a window",
        shlex.join(["echo-exp-inspect", *which]): "what it has learned",
    }
    # The UI shows the first lines: those of the accuracies.
    lines = sorted(outcome.lines(), key=lambda line: "accuracy" not in line[0])
    scores = markdown.table("what came out", "", lines)
    return markdown.text(about, scores, markdown.commands(again | more))


def continued(told: str, by: StoredRun) -> str:
    """Adds to the description of a run that another continues it."""
    return markdown.text(told, f"{_link(by.experiment_id, by.run_id)} continues it.")


def _beginning(stored: StoredRun) -> str:
    """Says which run trained the first epochs of a run, if another one did."""
    if CONTINUES not in stored.tags:
        return ""
    shorter = _link(stored.experiment_id, stored.tags[CONTINUES])
    return f"{shorter} trained its first epochs, which count as its own."


def _link(experiment_id: str, run_id: str) -> str:
    return f"[Run {run_id}]({page(experiment_id, run_id)})"


def sentence(config: DictConfig, problem: Problem) -> str:
    """Says in one sentence what a run is.

    Args:
        config: Its configuration.
        problem: Its problem.
    """
    model, representation = (configuration.class_of(config, g) for g in ("model", "representation"))
    how = f"{configuration.problem_kind(config)}, {representation}"
    units = f" of {config.model.units} units" if "units" in config.model else ""
    many = f", {config.replicas} networks at once" if config.replicas > 1 else ""
    return (
        f"{model}{units} learns to {problem.goal} "
        f"({how}): {config.epochs:,} epochs{_turns(problem)} from seed {config.seed}{many}."
    )


def _turns(problem: Problem) -> str:
    """Says at which lengths a network is trained, if these are not simply the problem's own."""
    lengths = list(map(str, at_lengths(problem, TRAIN_LENGTHS)))
    if not lengths:
        return ""
    return (
        f" at the lengths {', '.join(lengths)} in turn"
        if lengths[1:]
        else f" at length {lengths[0]}"
    )
