"""`python -m echo_exp` is `echo-exp`."""

from echo_exp.commands.train import main

main()
