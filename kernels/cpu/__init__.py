"""Numba paths: parallel, without copies; tensors on the CPU only."""
