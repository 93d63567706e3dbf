"""The ``--json`` form of labels, policies and their evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imseek.ui.cli.jsonout import collection, placed

if TYPE_CHECKING:
    from imseek.library import Resolved
    from imseek.types import Labels


def label(found: Labels, chosen: Resolved, name: str | None, limit: int) -> dict[str, Any]:
    from imseek.data.reader import Reader

    reader = Reader(chosen.path)
    places = reader.places(found.image_ids[:limit].tolist())
    reader.close()
    return {
        "collection": collection(chosen),
        "encoder": found.encoder,
        "generation": found.generation,
        "images": len(found.image_ids),
        "classes": len(found.classes),
        "multi": found.multi,
        "factor": found.factor,
        "factor_source": found.factor_source,
        "counts": [
            {"label": one.label, "images": one.images, "probability": round(one.probability, 6)}
            for one in found.counts()
        ],
        "cautions": None if found.cautions is None else int(found.cautions.sum()),
        "stored": None
        if found.stored is None
        else {"name": name, "generation": found.stored, "tags": found.tagged},
        "notes": list(found.notes),
        "labels": [
            {
                "image_id": image_id,
                **placed(places.get(image_id)),
                "labels": list(found.labels(at)),
                "caution": None if found.cautions is None else bool(found.cautions[at]),
                "top": [
                    {
                        "class": None if number < 0 else found.classes[number],
                        "probability": round(probability, 6),
                    }
                    for number, probability in zip(
                        found.top[at].tolist(), found.probabilities[at].tolist(), strict=True
                    )
                ],
            }
            for at, image_id in enumerate(found.image_ids[:limit].tolist())
        ],
    }
