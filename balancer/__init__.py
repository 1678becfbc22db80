"""Balancer: keeps the discriminator and the generator of a GAN in balance, by plugins."""
