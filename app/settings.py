"""What the program remembers between studies: theme, recent files, layouts. Versioned JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

SCHEMA = 1
_RECENT = 10


@dataclass
class Settings:
    """User settings; every change is written at once by `save`.

    Attributes
    ----------
    path: the file; a file that cannot be read counts as absent and is only replaced on `save`.
    theme: "light", "dark", "high-contrast" or "system".
    recent: paths of what was opened, newest first.
    layouts: saved layouts in JSON form, by title.
    """

    path: Path
    theme: str = "system"
    recent: list[str] = field(default_factory=list)
    layouts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path | None = None) -> Settings:
        """Read the settings; anything unusable in the file is left out."""
        path = path or platformdirs.user_config_path("espalier") / "settings.json"
        settings = cls(path)
        try:
            kept = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            return settings
        if not isinstance(kept, dict) or kept.get("schema") != SCHEMA:
            return settings
        if kept.get("theme") in ("light", "dark", "high-contrast", "system"):
            settings.theme = kept["theme"]
        if isinstance(kept.get("recent"), list):
            settings.recent = [item for item in kept["recent"] if isinstance(item, str)]
        if isinstance(kept.get("layouts"), dict):
            settings.layouts = {str(k): v for k, v in kept["layouts"].items()}
        return settings

    def save(self) -> None:
        """Write the settings; a read-only home is no reason to stop working."""
        content = {"schema": SCHEMA, **asdict(self)}
        del content["path"]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            waiting = self.path.with_suffix(".new")
            waiting.write_text(json.dumps(content, indent=1), "utf-8")
            waiting.replace(self.path)
        except OSError:
            return

    def opened(self, source: str) -> None:
        """Remember what was opened."""
        others = [item for item in self.recent if item != source]
        self.recent = [source, *others][:_RECENT]
        self.save()
