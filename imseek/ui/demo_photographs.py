"""The photographs that ship with scikit-image and scikit-learn, which the demo indexes where they are."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from imseek.errors import MissingExtraError

#: Package, distribution, folder inside it, and the files there taken by a camera, telescope or microscope. The folder's
#: other files are drawings, scans, test patterns and computed images.
PHOTOGRAPHS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    (
        "skimage",
        "scikit-image",
        "data",
        (
            "astronaut.png",
            "brick.png",
            "camera.png",
            "chelsea.png",
            "clock_motion.png",
            "coffee.png",
            "coins.png",
            "grass.png",
            "gravel.png",
            "hubble_deep_field.jpg",
            "ihc.png",
            "moon.png",
            "motorcycle_left.png",
            "motorcycle_right.png",
            "retina.jpg",
            "rocket.jpg",
            "text.png",
        ),
    ),
    ("sklearn", "scikit-learn", "datasets/images", ("china.jpg", "flower.jpg")),
)


STAMPS = Path("/usr/share/tuxpaint/stamps")


ENCODER = "builtin"


def photographs() -> tuple[Path, ...]:
    """Locate the listed photographs in the installed packages, without importing these.

    Raises MissingExtraError if a package is missing.
    """
    paths = []
    for package, distribution, folder, names in PHOTOGRAPHS:
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise MissingExtraError(distribution, "demo")
        paths += [Path(spec.origin).parent / folder / name for name in names]
    return tuple(path for path in paths if path.is_file())
