"""`python -m balancer`, which torchrun needs."""

from balancer.cli import main

main()
