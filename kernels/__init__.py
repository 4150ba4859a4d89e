"""The hot loops: pure functions on tensors that know no model, no file and no window."""
