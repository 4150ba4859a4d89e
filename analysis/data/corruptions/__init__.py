"""Common corruptions at five severities, as in CIFAR-10-C and ImageNet-C.

Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", ICLR 2019, https://arxiv.org/abs/1903.12261; parameters and operations from its
reference code (`ImageNet-C/create_c`). The code there sets no seed, so published files can be
matched in their statistics only.
"""

from analysis.data.corruptions.corruption import Corruption
from analysis.data.corruptions.registry import CORRUPTIONS, SEVERITIES, corrupt

__all__ = ["CORRUPTIONS", "SEVERITIES", "Corruption", "corrupt"]
