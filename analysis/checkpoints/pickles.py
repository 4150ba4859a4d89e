"""List what a pickle would import, without running it.

A pickle is a program; its opcodes can be read like text. The names that GLOBAL and STACK_GLOBAL
would import are all that is needed to tell a state dict from a pickled module, and to say so.

    >>> sorted(imported_names(pickle.dumps(collections.OrderedDict())))    # doctest: +SKIP
    ['collections.OrderedDict']
"""

from __future__ import annotations

import io
import pickletools
import re
import zipfile

PLAIN = re.compile(
    r"collections\.(OrderedDict|Counter)"
    r"|torch\.\w*Storage|torch\.storage\.\w*Storage"
    r"|torch\._utils\._rebuild_\w+|torch\._tensor\._rebuild_from_type_v2"
    r"|torch\.(Size|Tensor|device|[a-z]+\d+\w*|bool|_\w+)"
    r"|torch\.nn\.parameter\.\w+|torch\.serialization\._get_layout"
    r"|_codecs\.encode|(builtins|__builtin__)\.(set|dict|list|tuple|int|float|bool|str|complex)"
)
"""What state dicts are made of. Only used for messages: what may load is decided by torch."""


def imported_names(content: bytes) -> set[str]:
    """`module.name` of everything the pickles at the start of `content` would import.

    Reads one pickle after the other (old torch.save wrote five) and stops at what is none.
    """
    names: set[str] = set()
    stream = io.BytesIO(content)
    while stream.tell() < len(content):
        try:
            names |= _one_pickle(stream)
        except Exception:  # noqa: BLE001 - raw tensor data follows the last pickle
            break
    return names


def foreign_names(container: str, content: bytes) -> tuple[str, ...]:
    """Sorted names in a torch file that no plain state dict needs."""
    pickles = [content]
    if container == "torch zip":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [n for n in archive.namelist() if n.rpartition("/")[2] == "data.pkl"]
            pickles = [archive.read(name) for name in names]
    found = set().union(*(imported_names(pickle) for pickle in pickles))
    return tuple(sorted(name for name in found if not PLAIN.fullmatch(name)))


def _one_pickle(stream: io.BytesIO) -> set[str]:
    """Follows strings only: a name on the stack is two strings, maybe fetched from the memo."""
    names: set[str] = set()
    memo: dict[int, str] = {}
    strings: list[str] = []
    last = "?"
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name in ("GLOBAL", "INST"):
            names.add(str(argument).replace(" ", ".", 1))
            last = "?"
        elif opcode.name == "STACK_GLOBAL":
            names.add(".".join(strings[-2:]) if len(strings) > 1 else "?")
            last = "?"
        elif opcode.name == "MEMOIZE":
            memo[len(memo)] = last
        elif opcode.name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[int(str(argument))] = last
        elif opcode.name in ("GET", "BINGET", "LONG_BINGET"):
            last = memo.get(int(str(argument)), "?")
            strings.append(last)
        elif isinstance(argument, str):
            last = argument
            strings.append(last)
        else:
            last = "?"
    return names
