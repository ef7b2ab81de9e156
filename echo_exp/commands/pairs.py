"""The command `echo-exp-pairs`: prints the inputs and targets that a network is trained on."""

from omegaconf import DictConfig

from echo_exp import configuration
from echo_exp.commands import hydra_main as command
from echo_exp.settings import integer
from echo_exp.task.problem import Stream, pairs, random_stream

MOST_ROWS = 1_000_000


def main() -> None:
    """Runs `echo-exp-pairs`: exits with 0, or 2 if a setting is wrong."""
    command.run(_pairs, "pairs")


def _pairs(config: DictConfig) -> None:
    rows = integer("rows", config.rows, 1, MOST_ROWS)
    seed = integer("seed", config.seed, 0)
    problem = configuration.problem(config)
    random = random_stream(seed, Stream.TRAINING)
    sequences = problem.generate(random, -(-rows // problem.n_windows))
    print(pairs(problem, sequences, rows))


if __name__ == "__main__":
    main()
