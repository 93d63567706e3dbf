"""Search: encode a query as vectors, find and rank the candidates, and build pages of hits.

Names are imported on first use: `imseek search --help` needs the options, and not what searches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imseek._lazy import lazy_names

if TYPE_CHECKING:
    from imseek.data.vectors.gpu import gpu_count
    from imseek.data.vectors.index_metadata import runs_on_gpu
    from imseek.search.promised_cutoff import is_calibrated
    from imseek.search.query import NOT_WEIGHT, Query, Term, make_query, unusable_picture_error
    from imseek.search.query_json import query_from_json, query_from_line, query_to_json
    from imseek.search.query_options import (
        By,
        Cutoff,
        GroupBy,
        OptionField,
        QueryOptions,
        Sort,
        check_values,
        option_fields,
    )
    from imseek.search.query_vectors import load_picture
    from imseek.search.region import Region, check_region, format_region, is_shares, parse_region
    from imseek.search.rerankers import Reranker, RerankRequest, known_rerankers
    from imseek.search.searchable import MAX_HITS_PER_RESPONSE, VECTOR_COST, Searchable
    from imseek.search.term_parser import parse_term, split_weight
    from imseek.search.where.columns_and_functions import Kind
    from imseek.search.where.country_outlines import Country, countries
    from imseek.search.where.facet_counts import FacetCounts
    from imseek.search.where.facets import Facet, FacetSummary
    from imseek.search.where.location_clusters import Box, LocationCluster, LocationCounts

__all__ = [
    "MAX_HITS_PER_RESPONSE", "NOT_WEIGHT", "VECTOR_COST", "Box", "By", "Country", "Cutoff", "Facet", "FacetCounts",
    "FacetSummary", "GroupBy", "Kind", "LocationCluster", "LocationCounts", "OptionField", "Query", "QueryOptions",
    "Region", "RerankRequest", "Reranker", "Searchable", "Sort", "Term", "check_region", "check_values", "countries",
    "format_region", "gpu_count", "is_calibrated", "is_shares", "known_rerankers", "load_picture", "make_query",
    "option_fields", "parse_region", "parse_term", "query_from_json", "query_from_line", "query_to_json", "runs_on_gpu",
    "split_weight", "unusable_picture_error",
]  # fmt: skip

if not TYPE_CHECKING:
    __getattr__ = lazy_names(
        __name__,
        {
            "imseek.data.vectors.gpu": "gpu_count",
            "imseek.data.vectors.index_metadata": "runs_on_gpu",
            "imseek.search.promised_cutoff": "is_calibrated",
            "imseek.search.query": "NOT_WEIGHT Query Term make_query unusable_picture_error",
            "imseek.search.query_json": "query_from_json query_from_line query_to_json",
            "imseek.search.query_options": (
                "By Cutoff GroupBy OptionField QueryOptions Sort check_values option_fields"
            ),
            "imseek.search.query_vectors": "load_picture",
            "imseek.search.region": "Region check_region format_region is_shares parse_region",
            "imseek.search.rerankers": "RerankRequest Reranker known_rerankers",
            "imseek.search.searchable": "MAX_HITS_PER_RESPONSE Searchable VECTOR_COST",
            "imseek.search.term_parser": "parse_term split_weight",
            "imseek.search.where.columns_and_functions": "Kind",
            "imseek.search.where.facet_counts": "FacetCounts",
            "imseek.search.where.facets": "Facet FacetSummary",
            "imseek.search.where.location_clusters": "Box LocationCluster LocationCounts",
            "imseek.search.where.country_outlines": "Country countries",
        },
    )
