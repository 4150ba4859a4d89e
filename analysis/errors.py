"""The two ways in which a user's request can be unusable."""

from __future__ import annotations


class InputError(Exception):
    """An input (file, folder, model, data) cannot be used: exit code 3, or a notification.

    Parameters
    ----------
    source: what was read (a path, a model's name).
    problem: what is wrong with it, as a full sentence without the source.
    remedy: what the user can do next.
    """

    def __init__(self, source: object, problem: str, remedy: str = "") -> None:
        super().__init__(f"{source}: {problem}" + (f" {remedy}" if remedy else ""))
        self.source = str(source)
        self.problem = problem
        self.remedy = remedy


class ArgumentError(ValueError):
    """A parameter is outside its range or names nothing that exists: exit code 2."""
