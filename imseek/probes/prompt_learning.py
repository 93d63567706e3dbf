"""Learned prompts as kinds of probe: CoOp (Zhou et al. 2022a) and CoCoOp (Zhou et al. 2022b).

What CoOp has learned is a vector for each class, which needs no text tower to apply. CoCoOp's class vectors depend on
the picture: each picture costs as many runs of the text tower, on torch, as there are classes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from imseek.errors import CorruptCollectionError, UsageError
from imseek.probes.labels import Targets
from imseek.probes.results import ProbeMethod
from imseek.progress import SILENT, Task
from imseek.types.arrays import Float32

if TYPE_CHECKING:
    from imseek.encoders.prompt_tower import PromptTower
    from imseek.encoders.prompt_training import LearnedPrompts

#: Version of the arrays and facts that learned prompts are stored as.
VERSION: Final = 1
#: Vectors before the class name: default, and the most.
DEFAULT_CONTEXTS: Final = 4
MAX_CONTEXTS: Final = 32
#: More classes are refused: each is a prompt in each step.
MAX_CLASSES: Final = 200
#: Numbers of steps, of which cross-validation chooses one.
STEPS: Final = (10, 20, 40, 80)
CONDITIONAL_STEPS: Final = (20, 60)
#: Seconds that a probe with CoCoOp's prompts may take to label images.
MAX_SECONDS: Final = 3600.0
#: Images that are judged at once, so that one can stop between them.
JUDGED_ROWS: Final = 64
_TRIAL_ROWS: Final = 8
_NETWORK: Final = ("inner", "inner_bias", "outer", "outer_bias")

#: Opens the text tower on torch.
OpenTower = Callable[[], "PromptTower"]


@dataclass(frozen=True, slots=True, eq=False)
class ClassPrompts:
    """CoOp: ``vectors`` (classes, dim) are the centred unit rows of the learned prompts."""

    vectors: Float32
    scale: float

    name: ClassVar[ProbeMethod] = "coop"

    def logits(self, rows: Float32) -> Float32:
        """Compute logits: (m, dim) unit rows → (m, classes) float32."""
        logits: Float32 = np.float32(self.scale) * (rows @ self.vectors.T)
        return logits

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {"vectors": self.vectors}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]], settings: Mapping[str, Any]) -> ClassPrompts:
        return cls(arrays["vectors"], settings["scale"])


class PicturePrompts:
    """CoCoOp: the learned vectors and network, and the tower that they need, which is opened for the first picture."""

    name: ClassVar[ProbeMethod] = "cocoop"

    def __init__(
        self, contexts: Float32, network: Mapping[str, Float32], scale: float, names: Sequence[str], tower: OpenTower
    ) -> None:
        self._contexts = contexts
        self._network = dict(network)
        self._scale = scale
        self._names = tuple(names)
        self._open = tower

    @cached_property
    def _prompts(self) -> LearnedPrompts:
        from imseek.encoders.prompt_tower import Prompts
        from imseek.encoders.prompt_training import LearnedPrompts

        tower = self._open()
        if self._contexts.shape[1] != tower.width:
            raise CorruptCollectionError(
                f"the vectors of a prompt are of another length than tokens of {tower.reference}"
            )
        prompts = Prompts(tower, self._names, len(self._contexts))
        return LearnedPrompts(prompts, self._contexts, self._network, self._scale, 0)

    def logits(self, rows: Float32) -> Float32:
        """Compute logits: (m, dim) unit rows → (m, classes) float32."""
        return self._prompts.logits(rows)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {"contexts": self._contexts, **self._network}

    @classmethod
    def of_arrays(
        cls,
        arrays: Mapping[str, npt.NDArray[Any]],
        settings: Mapping[str, Any],
        names: Sequence[str],
        tower: OpenTower,
    ) -> PicturePrompts:
        contexts, network = arrays["contexts"], {one: arrays[one] for one in _NETWORK}
        (width, hidden), dim = network["outer"].shape, network["inner"].shape[-1]
        shapes = {"inner": (hidden, dim), "inner_bias": (hidden,), "outer": (width, hidden), "outer_bias": (width,)}
        if any(network[one].shape != shape for one, shape in shapes.items()) or contexts.shape[1:] != (width,):
            raise ValueError("the arrays of its prompts do not fit together")
        return cls(contexts, network, settings["scale"], names, tower)

    def check_time(self, images: int) -> None:
        """Try a few images, and raise UsageError if all would take longer than :data:`MAX_SECONDS`."""
        if images <= _TRIAL_ROWS:
            return
        rows = np.zeros((_TRIAL_ROWS, self._network["inner"].shape[1]), np.float32)
        self._prompts.logits(rows[:1])
        began = time.monotonic()
        self._prompts.logits(rows)
        seconds = (time.monotonic() - began) * images / _TRIAL_ROWS
        if seconds > MAX_SECONDS:
            raise UsageError(
                f"prompts that depend on the picture (CoCoOp) would take about {seconds / 3600:,.1f} hours here: "
                f"{images * len(self._names):,} runs of the text tower",
                hint="fewer images (--where), or a probe that needs no text tower: imseek probe fit --method coop",
            )


def check_version(facts: Mapping[str, Any], name: str) -> None:
    """Raise CorruptCollectionError for learned prompts of a later imseek."""
    if facts.get("version", VERSION) > VERSION:
        raise CorruptCollectionError(
            f"the probe {name} was learned by a later imseek", hint="update imseek, or learn it anew: --force"
        )


def check_options(method: str, contexts: int | None, per_class: bool, words: bool) -> None:
    """Raise UsageError for options of learned prompts that do not go together."""
    learns = method in ("coop", "cocoop", "all")
    if (contexts is not None or per_class) and not learns:
        raise UsageError("context vectors belong to prompts that learn", hint="--method coop")
    if contexts is not None and not 1 <= contexts <= MAX_CONTEXTS:
        raise UsageError(
            f"a prompt cannot begin with {contexts} context vectors", hint=f"1 to {MAX_CONTEXTS}; 4 and 16 are usual"
        )
    if per_class and method == "cocoop":
        raise UsageError("CoCoOp's vectors are shared by all classes", hint="--per-class goes with --method coop")
    if learns and not words:
        raise UsageError(f"--method {method} learns from the names of the classes", hint="leave out --no-words")


class PromptLearner:
    """Learns prompts of one kind: ``coop`` or ``cocoop``."""

    def __init__(
        self, tower: PromptTower, names: Sequence[str], method: ProbeMethod, contexts: int, per_class: bool
    ) -> None:
        """Check the names. Raises UsageError where one is too long for the tower, or there are too many."""
        from imseek.encoders.prompt_tower import Prompts

        if len(names) > MAX_CLASSES:
            raise UsageError(
                f"{len(names):,} classes are too many for prompts that learn",
                hint=f"{MAX_CLASSES:,} at most: choose some, or leave out --method",
            )
        Prompts(tower, names, contexts)
        self.method = method
        self._tower = tower
        self._names = tuple(names)
        self._contexts = contexts
        self._per_class = per_class and method == "coop"

    def learn(
        self,
        rows: Float32,
        targets: Targets,
        classes: npt.NDArray[np.int64],
        weights: npt.NDArray[np.float64],
        seed: int,
        *,
        steps: Sequence[int] | None = None,
        task: Task = SILENT,
    ) -> Iterator[tuple[Mapping[str, float], list[ClassPrompts | PicturePrompts]]]:
        """Yield settings and, for each of ``weights`` (sets, n), what n pictures teach; ``classes`` are the numbers of
        those that ``targets`` (n,) count."""
        from imseek.encoders.prompt_tower import Prompts
        from imseek.encoders.prompt_training import learn_prompts

        conditional = self.method == "cocoop"
        names = [self._names[n] for n in classes.tolist()]
        for prompt_sets in learn_prompts(
            Prompts(self._tower, names, self._contexts),
            rows,
            targets,
            weights,
            steps or (CONDITIONAL_STEPS if conditional else STEPS),
            per_class=self._per_class,
            conditional=conditional,
            seed=seed,
            task=task,
        ):
            settings = {
                "contexts": self._contexts,
                "per_class": int(self._per_class),
                "steps": prompt_sets[0].steps,
                "scale": prompt_sets[0].scale,
            }
            yield settings, [self._scorer(one, names) for one in prompt_sets]

    def _scorer(self, prompts: LearnedPrompts, names: Sequence[str]) -> ClassPrompts | PicturePrompts:
        if prompts.network:
            return PicturePrompts(prompts.contexts, prompts.network, prompts.scale, names, lambda: self._tower)
        return ClassPrompts(prompts.class_vectors(), prompts.scale)
