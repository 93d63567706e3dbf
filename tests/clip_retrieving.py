"""The real clip-retrieval (2.45.0), which `make test` puts into an environment of its own: to index, serve and ask.

The model that `clip-retrieval back` wants to load is a tiny one with random numbers: it is never asked anything, since
queries are vectors. `bench/round_trips.py` uses this too.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

HOME = Path(sys.prefix) / "clip-retrieval"
PYTHON = HOME / "bin" / "python"

#: Writes the tiny model.
_MODEL = """
import sys, torch, transformers as t
torch.manual_seed(0)
sizes = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
config = t.CLIPConfig(
    text_config=dict(sizes, projection_dim=8), vision_config=dict(sizes, projection_dim=8), projection_dim=8
)
t.CLIPModel(config).save_pretrained(sys.argv[1])
t.CLIPImageProcessor().save_pretrained(sys.argv[1])
"""
#: `clip-retrieval`, which would be heard on all addresses of the machine.
_LOOPBACK = """
import sys, flask
run = flask.Flask.run
flask.Flask.run = lambda self, **named: run(self, **{**named, "host": "127.0.0.1"})
from clip_retrieval.cli import main
sys.exit(main())
"""


def run(*arguments: object) -> None:
    done = subprocess.run(
        [PYTHON, *map(str, arguments)], env=_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def _environment() -> dict[str, str]:
    environ = {**os.environ, "HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled"}
    environ.pop("PYTHONPATH", None)
    return environ


class Service:
    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"{self._url}/{path}", data, timeout=30) as answer:
            return json.load(answer)

    def knn(self, modality: str, vector: np.ndarray, count: int) -> list[dict[str, Any]]:
        usual: dict[str, Any] = dict.fromkeys(("text", "image", "image_url"))
        more = dict.fromkeys(("deduplicate", "use_safety_model", "use_violence_detector", "use_mclip"), False)
        body = {**usual, **more, "embedding_input": vector.tolist(), "modality": modality}
        return self.ask("knn-service", {**body, "indice_name": "ours", "num_images": count, "num_result_ids": count})


@contextmanager
def serving(exported: Path, work: Path) -> Iterator[Service]:
    """`clip-retrieval index` of what was exported, then `clip-retrieval back`, as the indice ``ours``."""
    run("-c", _MODEL, work / "model")
    run("-m", "clip_retrieval.cli", "index", exported, work / "index")
    (work / "indices.json").write_text(json.dumps({"ours": str(work / "index")}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        PYTHON,
        "-c",
        _LOOPBACK,
        "back",
        f"--indices_paths={work / 'indices.json'}",
        f"--port={port}",
        f"--clip_model=hf_clip:{work / 'model'}",
        "--enable_mclip_option=False",
        "--provide_aesthetic_embeddings=False",
        "--use_jit=False",
        '--columns_to_return=["image_id","image_path","caption"]',
    ]
    with (work / "log").open("wb") as log:
        process = subprocess.Popen(command, env=_environment(), stdout=log, stderr=log)
    try:
        found = Service(port)
        end = time.monotonic() + 300
        while True:
            try:
                assert found.ask("indices-list") == ["ours"]
                break
            except OSError:
                said = (work / "log").read_text(errors="replace")[-2000:]
                assert process.poll() is None, said
                assert time.monotonic() < end, said
                time.sleep(0.2)
        yield found
    finally:
        process.terminate()
        process.wait()
