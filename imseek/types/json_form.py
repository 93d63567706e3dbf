"""How the fields of results appear in JSON, stated in their annotations.

A result is a dataclass; ``--json``, HTTP and the JSON Schemas in docs/schemas are made from it (imseek/ui/render). A
field appears under its own name, unless ``Annotated[..., Json(...)]`` says otherwise; the docstring below a field
describes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias, TypeVar

Getter = TypeVar("Getter", bound=Callable[[Any], Any])


@dataclass(frozen=True, slots=True)
class Json:
    """The form of a field in JSON."""

    name: str | None = None
    """Name in place of the field's."""
    digits: int | None = None
    """Decimal places of numbers, those in arrays, lists and mappings too."""
    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    """Regular expression that strings meet."""
    inline: bool = False
    """The members of the value take the place of the field; they are null where there is no value."""
    hidden: bool = False
    """The field is left out."""
    omit_none: bool = False
    """The field is left out while it is None."""
    key: str | None = None
    """A mapping of objects is a list of them, with its keys as the member of this name."""
    nan_null: bool = False
    """The number may be NaN, which is null in JSON."""
    printable: bool = False
    """Control characters and bytes that are not UTF-8 are escaped in strings."""


#: A number of things.
Count: TypeAlias = Annotated[int, Json(minimum=0)]
#: A similarity, a probability or another score.
Score: TypeAlias = Annotated[float, Json(digits=6)]
#: A cosine of two vectors.
Cosine: TypeAlias = Annotated[float, Json(digits=6, minimum=-1, maximum=1)]
#: A probability or a share.
Share: TypeAlias = Annotated[float, Json(digits=6, minimum=0, maximum=1)]
Seconds: TypeAlias = Annotated[float, Json(digits=3, minimum=0)]
#: Text from files and file names.
Printable: TypeAlias = Annotated[str, Json(printable=True)]
#: The sha256 of a file in hexadecimal.
ContentHash: TypeAlias = Annotated[str, Json(pattern="^[0-9a-f]{64}$")]
#: A path of a file: ``path``, and ``path_b64`` beside it where its bytes are not UTF-8.
FilePath: TypeAlias = Annotated[bytes, Json(inline=True)]

#: Attribute of a getter that says how its property appears in JSON.
MEMBER: Final = "__json_member__"


def json_member(how: Json = Json()) -> Callable[[Getter], Getter]:
    """Mark the getter of a property that appears in JSON as fields do."""

    def mark(getter: Getter) -> Getter:
        setattr(getter, MEMBER, how)
        return getter

    return mark
