"""Make a pruned network really smaller: what is zero as a whole is cut out for good."""

from analysis.pruning.permanent.making import Permanent, make_permanent

__all__ = ["Permanent", "make_permanent"]
