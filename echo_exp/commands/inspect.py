"""The command `echo-exp-inspect`: measures and draws the inside of a trained network."""

import shutil
import tempfile
from pathlib import Path

from omegaconf import DictConfig, ListConfig

from echo_exp import configuration
from echo_exp.commands import hydra_main as command
from echo_exp.commands.asked import load
from echo_exp.inspection.settings import check
from echo_exp.running import INSPECTION
from echo_exp.settings import SettingError, choice, writable


def main() -> None:
    """Runs `echo-exp-inspect`: exits with 0, 1 if it failed, or 2 if a setting is wrong."""
    command.run(_inspect, "inspect")


def _inspect(config: DictConfig) -> None:
    choice("log", config.log, (True, False))
    if not isinstance(config.figures, ListConfig):
        raise SettingError("figures", config.figures, "it must be a list, as in figures=[probes]")
    figures = check(config.sequences, config.figures)

    network = load(config)
    assert network.run_id is not None  # it comes from a store

    import torch

    from echo_exp.inspection import inspect_network
    from echo_exp.inspection.findings import findings
    from echo_exp.tracking.access import reader
    from echo_exp.training.threads import count_threads

    torch.set_num_threads(count_threads(network.settings.trainer, network.module))
    folder = Path(config.output_dir) / "inspections" / network.run_id
    with writable("output_dir", folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            made = Path(temporary) / network.run_id
            found = inspect_network.inspect(network, made, config.sequences, figures)
            shutil.rmtree(folder, ignore_errors=True)  # figures of another seed or other sequences
            made.replace(folder)
    print(f"Inside the network of run {network.run_id}, seed {network.seed}:")
    for sentence in findings(found):
        print(f"- {sentence}")
    print(f"Figures, and the measurements as {inspect_network.MEASUREMENTS}: {folder}")
    if config.log:
        run = reader.find(configuration.tracking(config), network.run_id)
        reader.replace(run.access, run.info, folder, INSPECTION)
        print(f"The same files are artifacts of the run, in {INSPECTION}/")


if __name__ == "__main__":
    main()
