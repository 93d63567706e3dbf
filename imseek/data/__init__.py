"""Storage: a collection on disk, in the format that docs/format.md describes.

``layout`` names the files, ``current_generation`` says which one is the newest, and ``reader`` reads it.
``files`` reaches the bytes, ``shards`` and ``vectors`` hold the images, ``catalog`` everything else;
``writing`` changes a collection, ``repair`` mends it, ``archive`` packs it. ``user_files`` handles the user's pictures.
"""
