"""Published methods as plugins, written from their papers against the public names alone."""

from support.published.ada import Ada
from support.published.encodec import EncodecBalance
from support.published.feature_matching import FeatureMatching
from support.published.instance_noise import InstanceNoise
from support.published.lazy_penalty import LazyR1, LazyR2
from support.published.lecam import LeCam
from support.published.vqgan import VqganWeight

__all__ = [
    "Ada",
    "EncodecBalance",
    "FeatureMatching",
    "InstanceNoise",
    "LazyR1",
    "LazyR2",
    "LeCam",
    "VqganWeight",
]
