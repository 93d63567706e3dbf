"""How labels are made, as data: what is asked for, and the record that is kept with stored labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from imseek.errors import UsageError
from imseek.explore.labels.classes import Classes
from imseek.explore.labels.logit_scale import Scale

#: Of models.
KIND: Final = "labels"
#: The probability at which a label of several is given.
MULTI_THRESHOLD: Final = 0.5
#: How many labels an image may have, of several.
MULTI_TOP: Final = 10


@dataclass(frozen=True, slots=True)
class Recipe:
    """``none`` are sentences for a picture of none of the classes, empty where every picture is of one. ``threshold``:
    less probable labels are not given. ``centred``: the mean cosine of each class is taken away."""

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
        """Raises UsageError for what makes no sense together."""
        if self.threshold is not None and not 0 <= self.threshold <= 1:  # NaN too
            raise UsageError(f"a threshold is a probability from 0 to 1, not {self.threshold}")
        if self.top < 1:
            raise UsageError(f"so many classes cannot be shown: {self.top}")
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
        """What JSON can hold of it."""
        return {
            "classes": list(self.classes.names),
            "words": [list(words) for words in self.classes.words],
            "templates": list(self.templates),
            "none": list(self.none),
            "multi": self.multi,
            "top": self.top,
            "threshold": self.threshold,
            "centred": self.centred,
            "caution": self.caution,
            "where": self.where,
            "factor": scale.factor,
            "bias": scale.bias,
            "flat": scale.flat,
            "factor_source": scale.source,
        }

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> tuple[Recipe, Scale]:
        """From what :meth:`facts` has made."""
        classes = Classes(tuple(facts["classes"]), tuple(tuple(words) for words in facts["words"]))
        recipe = cls(
            classes,
            tuple(facts["templates"]),
            tuple(facts["none"]),
            facts["multi"],
            facts["top"],
            facts["threshold"],
            facts["centred"],
            facts["caution"],
            facts["where"],
        )
        return recipe, Scale(facts["factor"], facts["bias"], facts["factor_source"], facts["flat"])


def check_multi(scale: Scale, encoder: str) -> None:
    """Raises UsageError where probabilities cannot be had class by class."""
    if scale.bias is None or not math.isfinite(scale.bias):
        raise UsageError(
            f"{encoder} was not trained with a sigmoid, so that the probability of a class by itself is not known",
            hint="take an encoder of the SigLIP family, or learn it from images whose labels you know: "
            "imseek evaluate zeroshot --multi --save-temperature NAME",
        )
