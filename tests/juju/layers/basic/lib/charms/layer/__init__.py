"""What a charm's layers were told by the layers above them."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Options:
    """The options of the charm's `layer.yaml`, by section (the layer's name) and option."""

    def get(self, section: str | None = None, option: str | None = None) -> Any:
        """Return all options, those of one section, or one option (None if it is not set)."""
        # Imported late: before the wheelhouse is installed nothing but the standard library
        # is there.
        import yaml

        values = yaml.safe_load(Path("layer.yaml").read_text()).get("options", {})
        if section is not None:
            values = values.get(section, {})
        if option is not None:
            values = values.get(option)
        return values

    def __call__(self, section: str | None = None) -> Any:
        """Return all options, or those of one section."""
        return self.get(section)


options = Options()
