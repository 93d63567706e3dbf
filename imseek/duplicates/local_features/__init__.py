"""Copies that no square grid finds: turned by any angle, seen from the side, in a collage, or with things over them."""
