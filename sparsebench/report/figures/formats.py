"""The file formats of figures; known without importing what draws them."""

from typing import Final

FORMATS: Final = ("png", "svg")
