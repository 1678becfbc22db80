"""zi2zi: draws the characters of one typeface from those of another; the reference model of Balancer."""
