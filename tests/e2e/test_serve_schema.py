"""Requests made from the OpenAPI document, good ones and bad ones: no answer that it does not state, no failure."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis_profiles import examples
from schemathesis.specs.openapi.checks import missing_required_header, positive_data_acceptance
from serving import TOKEN, served

import imseek
from imseek.ui.http.app import make_app
from imseek.ui.server.settings import Settings

#: Requests for each route; more by hand.
EXAMPLES = int(os.environ.get("IMSEEK_HTTP_EXAMPLES", "15"))


#: Starting runs is tested elsewhere: here each would be a process.
LEFT_OUT = {("/collections/{name}/jobs", "post")}


def _operations() -> list[tuple[str, str]]:
    described = make_app(Settings((("photos", Path()),), token=TOKEN)).openapi()
    found = [(path, method) for path, methods in described["paths"].items() for method in methods]
    return [one for one in found if one not in LEFT_OUT]


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory, photo_files: list[Path]) -> Iterator[Any]:
    root = tmp_path_factory.mktemp("served") / "photos"
    with imseek.create(root, encoder="fake", captions=True) as collection:
        collection.index(names=photo_files[:3])
    with served(root, options=["--rate", "0"]) as server:
        yield schemathesis.openapi.from_url(f"{server.url}/openapi.json")


@pytest.mark.parametrize(("path", "method"), _operations())
def test_a_route_answers_as_the_document_says(described: Any, path: str, method: str) -> None:
    @given(case=described[path][method].as_strategy())
    @settings(
        max_examples=examples(EXAMPLES),
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: schemathesis.Case) -> None:
        if "name" in case.path_parameters:
            case.path_parameters["name"] = "photos"
        case.call_and_validate(
            headers={"Authorization": f"Bearer {TOKEN}"},
            # A query's terms are checked by a parser of their own, which refuses more than a document can say.
            excluded_checks=[positive_data_acceptance, missing_required_header],
        )

    ask()
