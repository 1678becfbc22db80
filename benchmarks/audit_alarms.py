"""How often the audit of a script's words accuses right loops, and how often it finds wiring bugs.

python benchmarks/audit_alarms.py [--steps 400] [--seeds 4]

Right loops: D first, G first and three D steps to one of G; BCE, least squares and hinge; three learning rates; with
laws and without; each seed. Bugs: thirteen of tests/support/wired.py, D first and G first, two rates, each seed.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections import Counter
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from wired import Wired

BUGS = {
    "never": "D's optimizer has not stepped",
    "never_g": "G's optimizer has not stepped",
    "unread": "obeys lambda_adv but has never looked",
    "skip_ignored": "D's optimizer stepped although",
    "rebuilt": "updated by another Adam",
    "sigmoid": "D ends in a sigmoid",
    "lsgan_forgotten": "say adversarial='lsgan'",
    "hinge_forgotten": "say adversarial='hinge'",
    "swapped": "are real_logits= and fake_logits=",
    "d_not_zeroed": "D's update also takes the gradients",
    "not_detached": "G's update also takes the gradients",
    "shared": "share 4 parameters",
    "eval": "D is in evaluation mode",
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=4)
    args = parser.parse_args()
    torch.set_num_threads(1)
    loops, accused = 0, Counter[str]()
    for order, adversarial, lr, plugins, seed in itertools.product(
        ("d_first", "g_first", "n_critic"), ("bce", "lsgan", "hinge"), (1e-4, 1e-3, 1e-2),
        ((), ("dynamic_lambda", "d_skip")), range(args.seeds),
    ):  # fmt: skip
        loops += 1
        for text in Wired(order=order, adversarial=adversarial, lr=lr, plugins=plugins, seed=seed).run(args.steps):
            accused[f"{order} {adversarial} {lr}: {text}"] += 1
    print(f"right loops of {args.steps} steps: {loops}, accused {sum(accused.values())}")
    for text, count in accused.items():
        print(f"  {count} × {text}")
    for bug, words in BUGS.items():
        plugins = ["d_skip"] if bug == "skip_ignored" else []
        runs = [
            Wired(bug, order=order, lr=lr, plugins=plugins, seed=seed).run(args.steps)
            for order, lr, seed in itertools.product(("d_first", "g_first"), (1e-3, 1e-2), range(args.seeds))
        ]
        found = sum(any(words in text for text in said) for said in runs)
        others = sum(all(words in text for text in said) for said in runs)
        print(f"{bug:<16} found in {found} of {len(runs)} runs; nothing else said in {others}")


if __name__ == "__main__":
    main()
