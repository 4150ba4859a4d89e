"""Depth: activations go, so that convolutions in a row become one."""
