"""`python -m balancer`, which torchrun needs."""

from balancer.cli.main import main

main()
