"""Feature geometry: features of any layer, the classifier's angles and margins, embeddings."""

from __future__ import annotations

from analysis.geometry.classifier import angles, boundary_normals, margins
from analysis.geometry.embed import Embed, Embedding
from analysis.geometry.geometry import FeatureGeometry, Geometry
from analysis.geometry.neighbours import exact_knn, knn_jaccard, knn_overlap
from analysis.geometry.overlap import NeighbourOverlap, Overlap
from analysis.geometry.pca import principal_plane

__all__ = [
    "Embed",
    "Embedding",
    "FeatureGeometry",
    "Geometry",
    "NeighbourOverlap",
    "Overlap",
    "angles",
    "boundary_normals",
    "exact_knn",
    "knn_jaccard",
    "knn_overlap",
    "margins",
    "principal_plane",
]
