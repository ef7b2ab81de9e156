"""`python -m echo_exp` is `echo-exp`."""

from echo_exp.app import main

main()
