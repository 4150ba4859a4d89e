"""Triton paths: tensors on a CUDA device, or on the CPU under Triton's interpreter."""
