"""The recipe of labels: options, and the record stored with them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from imseek.errors import UsageError
from imseek.labels.classes import Classes
from imseek.labels.logit_scale import Scale

#: Kind of the models.
KIND: Final = "labels"
#: Default probability threshold with several labels per image.
MULTI_THRESHOLD: Final = 0.5
#: Maximum labels per image, with several.
MULTI_TOP: Final = 10
#: Fields of a recipe that are stored as they are.
_OPTIONS: Final = ("multi", "top", "threshold", "centred", "caution", "where")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to label images.

    ``none`` are sentences for an image of none of the classes, empty where every image belongs to one. Labels less
    probable than ``threshold`` are not given. ``centred`` subtracts the mean cosine of each class.
    """

    classes: Classes
    templates: tuple[str, ...]
    none: tuple[str, ...] = ()
    multi: bool = False
    top: int = 1
    threshold: float | None = None
    centred: bool = False
    caution: bool = False
    where: str | None = None

    def checked(self) -> Recipe:
        """Return the recipe with defaults filled in. Raises UsageError for options that contradict each other."""
        if self.threshold is not None and not 0 <= self.threshold <= 1:  # NaN too
            raise UsageError(f"a threshold is a probability from 0 to 1, not {self.threshold}")
        if self.top < 1:
            raise UsageError(f"the number of classes to show cannot be {self.top}")
        if self.multi and self.none:
            raise UsageError(
                "several labels (--multi) need no class for none of them: an image may have no label",
                hint="leave out --none",
            )
        if len(self.classes) == 1 and not self.none and not self.multi:
            raise UsageError(
                f"with one class every image is {self.classes.names[0]!r}",
                hint="name another, or say what none of them looks like: --none",
            )
        if self.multi and self.threshold is None:
            return replace(self, threshold=MULTI_THRESHOLD)
        return self

    def facts(self, scale: Scale) -> dict[str, Any]:
        """Return the recipe and scale as JSON values."""
        return {
            "classes": list(self.classes.names),
            "words": [list(words) for words in self.classes.words],
            "templates": list(self.templates),
            "none": list(self.none),
            **{name: getattr(self, name) for name in _OPTIONS},
            "factor": scale.factor,
            "bias": scale.bias,
            "flat": scale.flat,
            "factor_source": scale.source,
        }

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> tuple[Recipe, Scale]:
        """Read the result of :meth:`facts`."""
        classes = Classes(tuple(facts["classes"]), tuple(tuple(words) for words in facts["words"]))
        options = {name: facts[name] for name in _OPTIONS}
        recipe = cls(classes, tuple(facts["templates"]), tuple(facts["none"]), **options)
        return recipe, Scale(facts["factor"], facts["bias"], facts["factor_source"], facts["flat"])


def check_multi(scale: Scale, encoder: str) -> None:
    """Raise UsageError where independent probabilities for each class are unavailable."""
    if scale.bias is None or not math.isfinite(scale.bias):
        raise UsageError(
            f"{encoder} was not trained with a sigmoid, so that the probability of a class by itself is not known",
            hint="take an encoder of the SigLIP family, or learn it from images whose labels you know: "
            "imseek evaluate zeroshot --multi --save-temperature NAME",
        )
