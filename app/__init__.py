"""The Qt program and the command line: draws, asks and shows; computes nothing."""
