"""What a notebook shows, in a real kernel: Jupyter's client runs the cells and keeps their outputs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from templates import Templates

pytest.importorskip("nbclient", reason="nbclient is missing (the extra dev)")

pytestmark = pytest.mark.slow

CELLS = (
    "import imseek\nphotos = imseek.open({root!r})",
    "photos.search('red', limit=3)",
    "imseek.show(photos, imseek.clusters.sample(photos, 2))",
    "photos.search_many(['red', 'blue'], limit=2)[1]",
    "photos.close()",
    "imseek.open({root!r} + '-elsewhere')",
)


def test_answers_are_pictures_in_a_notebook(tmp_path: Path, photos: Path, templates: Templates) -> None:
    import nbclient
    import nbformat

    root = str(templates.indexed(tmp_path / "c", photos))
    cells = [nbformat.v4.new_code_cell(code.format(root=root)) for code in CELLS]
    cells[-1].metadata["tags"] = ["raises-exception"]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()

    def shown(cell: int) -> str:
        (output,) = notebook.cells[cell].outputs
        assert output.output_type == "execute_result"
        return str(output.data["text/html"])

    assert notebook.cells[0].outputs == []
    for cell, count in ((1, 3), (2, 2), (3, 2)):
        assert len(re.findall(r'<img [^>]*src="data:image/webp;base64,', shown(cell))) == count
        assert "<script" not in shown(cell)
    (error,) = notebook.cells[-1].outputs
    assert error.ename == "CollectionNotFoundError"
    # What the notebook keeps, nobody need run again.
    assert nbformat.reads(nbformat.writes(notebook), as_version=4).cells[1].outputs == notebook.cells[1].outputs
