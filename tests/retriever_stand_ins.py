"""Stands for LangChain's and LlamaIndex's base classes of retrievers, where these are not installed.

Only what docs/python.md uses, as langchain-core 1.8 and llama-index-core 0.14 have it: fields given as keywords and
checked by pydantic, ``invoke`` and ``retrieve`` that call the method of the subclass.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

from pydantic import BaseModel


class Document(BaseModel):
    page_content: str
    metadata: dict[str, Any]


class LangChainRetriever(BaseModel):
    def invoke(self, query: str) -> list[Document]:
        found: list[Document] = self._get_relevant_documents(query, run_manager=None)  # type: ignore[attr-defined]
        return found


class ImageNode(BaseModel):
    text: str
    image_path: str | None
    metadata: dict[str, Any]


class NodeWithScore(BaseModel):
    node: ImageNode
    score: float | None


class LlamaIndexRetriever:
    def retrieve(self, query: str) -> list[NodeWithScore]:
        found: list[NodeWithScore] = self._retrieve(SimpleNamespace(query_str=query))  # type: ignore[attr-defined]
        return found


MODULES: dict[str, dict[str, Any]] = {
    "langchain_core.documents": {"Document": Document},
    "langchain_core.retrievers": {"BaseRetriever": LangChainRetriever},
    "llama_index.core.retrievers": {"BaseRetriever": LlamaIndexRetriever},
    "llama_index.core.schema": {"ImageNode": ImageNode, "NodeWithScore": NodeWithScore},
}


def missing_modules() -> dict[str, ModuleType]:
    """The modules to put into ``sys.modules``, with the packages that hold them: of libraries that are not here."""
    found: dict[str, ModuleType] = {}
    for name, values in MODULES.items():
        if name.partition(".")[0] in sys.modules or importlib.util.find_spec(name.partition(".")[0]) is not None:
            continue
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            found.setdefault(".".join(parts[:end]), ModuleType(".".join(parts[:end])))
        vars(found[name]).update(values)
    return found
