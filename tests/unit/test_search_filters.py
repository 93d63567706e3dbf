"""Filters as people choose them: the conditions they make, and what is read back from conditions."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imseek.search.where.columns_and_functions import Kind
from imseek.search.where.compiler import compile_filter
from imseek.ui.web.pages.search import where_conditions
from imseek.ui.web.pages.search.where_conditions import TAG, Filter

pytestmark = pytest.mark.slow

names = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=12).filter(lambda one: one.strip())
values = st.lists(st.text(st.characters(exclude_categories=["C"]), max_size=12), min_size=1, max_size=3).map(tuple)
numbers = st.one_of(st.floats(-1e12, 1e12), st.dates(date(1826, 1, 1), date(2200, 1, 1)))
some = st.one_of(
    st.builds(Filter, names, values),
    st.builds(Filter, st.just(TAG), values),
    st.builds(Filter, names, low=numbers),
    st.builds(Filter, names, high=numbers),
    st.builds(Filter, names, low=numbers, high=numbers),
    st.builds(Filter, names, known=st.just(True)),
    st.builds(Filter, names, true=st.booleans()),
    st.builds(Filter, names, holds=st.text(st.characters(categories=["Ll", "P", "Nd"]), min_size=1)),
)


@given(some)
def test_a_condition_is_read_back(one: Filter) -> None:
    found = where_conditions.parse_filter(one.sql())
    assert found is not None
    assert found.sql() == one.sql()
    assert found.column == one.column
    assert found.words()


@pytest.mark.parametrize(
    ("one", "sql", "words"),
    [
        (Filter("format", ("PNG", "JPEG")), "format IN ('PNG', 'JPEG')", "format: PNG or JPEG"),
        (Filter(TAG, ("cat", "it's")), "tag('cat') OR tag('it''s')", "tag: cat or it's"),
        (Filter("day", low=date(2023, 5, 1)), "day >= '2023-05-01'", "day from 2023-05-01"),
        (
            Filter("day", low=date(2023, 5, 1), high=date(2023, 5, 31)),
            "day >= '2023-05-01' AND day <= '2023-05-31'",
            "May 2023",
        ),
        (
            Filter("day", low=date(2023, 5, 1), high=date(2023, 5, 30)),
            "day >= '2023-05-01' AND day <= '2023-05-30'",
            "day 2023-05-01 to 2023-05-30",
        ),
        (
            Filter("day", low=date(2019, 1, 1), high=date(2021, 12, 31)),
            "day >= '2019-01-01' AND day <= '2021-12-31'",
            "2019 to 2021",
        ),
        (Filter("megapixels", high=12.5), "megapixels <= 12.5", "megapixels at most 12.5"),
        (Filter("aspect", low=1.05), "aspect >= 1.05", "landscape"),
        (Filter("aspect", low=0.95, high=1.05), "aspect >= 0.95 AND aspect <= 1.05", "square"),
        (Filter("latitude", known=True), "latitude IS NOT NULL", "with a location"),
        (Filter("caption", holds="Cat"), "contains(lower(caption), 'cat')", "caption contains “Cat”"),
        (Filter("My Rating", low=3.0, high=3.0), '"My Rating" = 3', "My Rating 3"),
        (Filter("case", true=False), '"case" IS FALSE', "not case"),
        (Filter("keywords", ("Beach", "it's")), "keywords IN ('Beach', 'it''s')", "keywords: Beach or it's"),
        (Filter("has_text", true=True), "has_text IS TRUE", "has text"),
    ],
)
def test_what_conditions_look_like(one: Filter, sql: str, words: str) -> None:
    assert (one.sql(), one.words()) == (sql, words)
    kinds = {
        "format": Kind.TEXT, "latitude": Kind.FLOAT, "caption": Kind.TEXT, "My Rating": Kind.INT,
        "case": Kind.BOOL, "taken_at": Kind.TIME, "width": Kind.INT, "height": Kind.INT,
        "keywords": Kind.LIST, "has_text": Kind.BOOL,
    }  # fmt: skip
    compile_filter(sql, kinds)  # It is one.


@pytest.mark.parametrize(
    "condition",
    [
        "",
        "year > 2020",
        "format in ('PNG')",
        "format IN ('PNG') OR 1 = 1",
        "day >= '2023-02-31'",
        "a IN ()",
        "latitude BETWEEN 1.2.3 AND 4 AND longitude BETWEEN . AND 6",
        "x'",
    ],
)
def test_other_conditions_stay_as_they_are(condition: str) -> None:
    assert where_conditions.parse_filter(condition) is None
    assert where_conditions.describe_condition(condition) == condition


def test_one_filter_for_each_column() -> None:
    where = where_conditions.replace_filter(("year > 2020",), Filter("format", ("PNG",)))
    assert where == ("year > 2020", "format IN ('PNG')")
    assert where_conditions.filter_on(where, "format").values == ("PNG",)
    assert where_conditions.filter_on(where, "camera") == Filter("camera")
    where = where_conditions.replace_filter(where, Filter("format", ("JPEG",)))
    assert where == ("year > 2020", "format IN ('JPEG')")
    assert where_conditions.replace_filter(where, Filter("format")) == ("year > 2020",)
