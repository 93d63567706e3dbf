"""Sixty queries for the photographs of scikit-image and scikit-learn, written by looking at them before any training.

Each query has one right photograph, or two where the packages hold a stereo pair. ``builtin``'s version 2 was trained
without these photographs; its weights were chosen without these queries.
"""

from __future__ import annotations

from types import MappingProxyType

#: File stems that show the same scene.
PAIR = ("motorcycle_left", "motorcycle_right")

QUERIES = MappingProxyType(
    {
        "a woman in an orange space suit": ("astronaut",),
        "astronaut": ("astronaut",),
        "portrait of a smiling woman": ("astronaut",),
        "american flag": ("astronaut",),
        "a helmet": ("astronaut",),
        "paved ground of bricks": ("brick",),
        "brick wall": ("brick",),
        "stone tiles in rows": ("brick",),
        "a man with a camera": ("camera",),
        "tripod": ("camera",),
        "photographer in a black coat": ("camera",),
        "a man in a park": ("camera",),
        "cat": ("chelsea",),
        "a face with whiskers and green eyes": ("chelsea",),
        "my pet": ("chelsea",),
        "kitten looking at something": ("chelsea",),
        "a blurred ball": ("clock_motion",),
        "something bright on a grey background": ("clock_motion",),
        "a cup of coffee": ("coffee",),
        "espresso": ("coffee",),
        "breakfast drink": ("coffee",),
        "spoon on a saucer": ("coffee",),
        "a red cup on a wooden table": ("coffee",),
        "old coins": ("coins",),
        "money": ("coins",),
        "collection of round metal pieces": ("coins",),
        "ancient greek treasure": ("coins",),
        "grass": ("grass",),
        "a lawn": ("grass",),
        "weeds and leaves on the ground": ("grass",),
        "gravel": ("gravel",),
        "small stones": ("gravel",),
        "pebbles on the ground": ("gravel",),
        "galaxies": ("hubble_deep_field",),
        "stars in the night sky": ("hubble_deep_field",),
        "the universe": ("hubble_deep_field",),
        "tissue under a microscope": ("ihc",),
        "cells stained brown and blue": ("ihc",),
        "medical sample": ("ihc",),
        "surface of the moon": ("moon",),
        "a crater": ("moon",),
        "planet seen from a probe": ("moon",),
        "motorcycle": PAIR,
        "a red motorbike in a garage": PAIR,
        "vehicle with two wheels": PAIR,
        "workshop with shelves and boxes": PAIR,
        "the inside of an eye": ("retina",),
        "blood vessels": ("retina",),
        "an orange disc": ("retina",),
        "rocket": ("rocket",),
        "a spaceship before its launch": ("rocket",),
        "towers at dusk": ("rocket",),
        "handwriting": ("text",),
        "formulas on paper": ("text",),
        "mathematics": ("text",),
        "chinese temple": ("china",),
        "a tower above a lake": ("china",),
        "palace with green roofs": ("china",),
        "a flower": ("flower",),
        "orange dahlia with dark leaves": ("flower",),
    }
)
