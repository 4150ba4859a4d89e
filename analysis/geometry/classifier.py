"""The classifier's own geometry: angle, norm and margin of features, in closed form.

From the loss: logit z_c = |W_c| |x| cos(angle_c) + b_c, so softmax cross-entropy sees a feature x
only through its angles to the class directions W_c, its length, and how far it lies from the
decision boundaries (Li et al., "Understanding Robustness Lottery", IEEE TVCG 2024,
https://arxiv.org/abs/2206.07918).
"""

from __future__ import annotations

import numpy as np


def angles(features: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Angle (radians, 0..pi) of each feature (N,D) to each class direction (K,D): float64 N,K.

    A zero feature, and a zero row of a pruned classifier, has no direction: pi/2, the angle at
    which it adds nothing to the logit.
    """
    x, w = features.astype(np.float64), weight.astype(np.float64)
    lengths = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(w, axis=1)[None, :]
    cosine = np.divide(x @ w.T, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return np.asarray(np.arccos(np.clip(cosine, -1.0, 1.0)))


def margins(logits: np.ndarray, labels: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Signed distance of each feature to the nearest boundary of its true class: float64 N.

    m_y = min over j != y of (z_y - z_j) / |W_y - W_j|, biases included; negative when some other
    class has the larger logit. Moving the feature by m_y against (W_y - W_j) reaches the tie.
    Classes whose rows equal the true class's row (both fully pruned) have no boundary with it
    and are left out; NaN when no other class is left.
    """
    z, w = logits.astype(np.float64), weight.astype(np.float64)
    count = np.arange(len(z))
    apart = boundary_normals(w)[labels]
    gap = z[count, labels][:, None] - z
    distance = np.divide(gap, apart, out=np.full_like(gap, np.inf), where=apart > 0)
    nearest = distance.min(axis=1, initial=np.inf)
    return np.where(np.isfinite(nearest), nearest, np.nan)


def boundary_normals(weight: np.ndarray) -> np.ndarray:
    """|W_i - W_j| for every pair of classes: K,K; exactly 0 where two rows are equal."""
    from scipy.spatial.distance import cdist

    w = weight.astype(np.float64)
    return np.asarray(cdist(w, w))
