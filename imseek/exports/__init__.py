"""Export a collection for other tools: the images (``selection``), the ``formats`` and the output
(``output_target``)."""
