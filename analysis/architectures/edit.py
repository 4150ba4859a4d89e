"""What all edits have in common: a module's name, their checks and their JSON form."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, TypeVar

import torch
from torch import nn

from analysis.errors import ArgumentError

MAX_NAME = 300

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Edit:
    """One change of one module, named as in `named_modules`.

    Raises ArgumentError for fields that cannot be; so does `apply` where they do not fit.
    """

    kind: ClassVar[str]

    module: str

    def __post_init__(self) -> None:
        if not (isinstance(self.module, str) and 0 < len(self.module) <= MAX_NAME):
            raise ArgumentError(f"an edit names a module, not {str(self.module)[:80]!r}")
        self.check()

    def check(self) -> None:
        """Raises ArgumentError for values that no network could take."""

    def apply(self, root: nn.Module) -> None:
        """Change `root` in place."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        return {"edit": self.kind, **asdict(self)}


def find(root: nn.Module, name: str, kind: type[M]) -> M:
    """The module called `name`. Raises ArgumentError when there is none of that kind."""
    found: nn.Module | None = root
    for part in name.split("."):
        # Not by attribute: a name from a file must reach nothing but modules.
        found = None if found is None else found._modules.get(part)
    if not isinstance(found, kind):
        raise ArgumentError(f"the network has no {kind.__name__} called {name[:80]!r}")
    return found


def blank(kind: type[M], *sizes: Any, device: torch.device, **more: Any) -> M:
    """A layer whose weights hold anything: they are loaded next, and no generator is used."""
    layer: M = kind(*sizes, device="meta", **more).to_empty(device=device)
    return layer


def put(root: nn.Module, name: str, module: nn.Module) -> None:
    """Set `module` in the place of the one called `name`, in the mode of the network."""
    parent, _, child = name.rpartition(".")
    setattr(root.get_submodule(parent), child, module.train(root.training))
