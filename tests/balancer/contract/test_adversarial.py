"""What D's logits say of its accuracy."""

from __future__ import annotations

import pytest
import torch

from balancer.contract.adversarial import LOSSES


@pytest.mark.parametrize("name", LOSSES)
def test_a_d_that_cannot_tell_calls_every_image_generated(name: str) -> None:
    loss = LOSSES[name]
    logits = torch.full((4,), loss.threshold)
    signals = loss.signals(logits, logits)
    assert (signals["d_acc_real"], signals["d_acc_fake"], signals["d_acc"]) == (0, 1, 0.5)
