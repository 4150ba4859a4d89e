"""Labelled images: the built-in digits, npz archives, image folders."""

from analysis.data.dataset import Data, Dataset, batches
from analysis.data.digits import digits_test, digits_train
from analysis.data.fits import check_fits
from analysis.data.sources import open_data

__all__ = [
    "Data",
    "Dataset",
    "batches",
    "check_fits",
    "digits_test",
    "digits_train",
    "open_data",
]
