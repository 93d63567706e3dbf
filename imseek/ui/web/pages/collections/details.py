"""Details of a collection: failures, encoders, index, and disk usage."""

from __future__ import annotations

import streamlit as st

from imseek import jobs, maintenance
from imseek.library import NamedCollection
from imseek.types.collection_info import CollectionInfo
from imseek.types.pictures import display_path
from imseek.ui.render.vector_index_text import index_facts, policy_line
from imseek.ui.render.words import format_size, printable
from imseek.ui.web import job_costs
from imseek.ui.web.pages.collections import create_task, run_descriptions, run_status, sources
from imseek.ui.web.parts import errors
from imseek.ui.web.plain_text import local_time

_LISTED = 10_000


def show_failures(entry: NamedCollection, info: CollectionInfo) -> None:
    """Draw the failures by reason, with advice."""
    if not info.failures:
        st.text("All files were indexed.")
        return
    busy = run_status.running_job(entry) is not None
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Retry all", type="primary", disabled=busy):
            run_status.start(entry, create_task.IndexRequest(retry_failed=True).command())
        basic = sources.has_basic_encoder(info)
        duration = job_costs.describe(job_costs.encoding_seconds(len(info.failures), basic=basic))
        st.caption(f"Takes {duration}. Files that have changed are retried by every update.")
    for group in run_descriptions.group_failures(info.failures):
        with st.container(border=True):
            st.text(f"{group.reason}: {group.count:,}")
            st.text(group.advice)
            for example in group.examples:
                st.code(example, language=None, wrap_lines=True)
    with st.expander("All files"):
        rows = [
            {"file": display_path(one.path), "reason": str(one.reason), "message": printable(one.message)}
            for one in info.failures[:_LISTED]
        ]
        st.dataframe(rows, hide_index=True, alt="Files that could not be indexed")
        if len(info.failures) > _LISTED:
            st.text(f"and {len(info.failures) - _LISTED:,} more: `imseek info --failures`")


def show(entry: NamedCollection, info: CollectionInfo) -> None:
    """Draw the details."""
    _table(
        [
            ("Pictures", f"{info.images:,}"),
            ("Folder", printable(info.path)),
            ("Created", local_time(info.created)),
            ("Generation", f"{info.generation:,} (format {info.format})"),
            ("Last run", _last_run(entry)),
            ("Shards", f"{info.shards:,}, with {info.dead_rows:,} rows of removed pictures"),
        ]
    )
    st.markdown("**Encoders**")
    for summary in info.spaces:
        space = summary.space
        rows = [
            ("Captions" if space.modality == "text" else "Encoder", printable(space.encoder)),
            ("Note", printable(space.note or "")),
            ("Licence", _licence(space.encoder)),
            ("Dimensions", f"{space.dim:,}"),
            ("Computed in", ", ".join(summary.precisions)),
            ("Fingerprint", space.fingerprint),
        ]
        _table([(name, value) for name, value in rows if value])
    for other in info.other_spaces:
        state = {
            "building": f"being built, {other.images:,} pictures so far",
            "kept": "kept, not in use",
            "tokens": f"for the reranker tokens, {other.images:,} pictures",
        }[other.state]
        _table([("Not in use", f"{printable(other.space.encoder)}: {state}, {format_size(other.bytes)}")])
    st.markdown("**Vector index**")
    lines = [line for index in info.indexes for line in index_facts(index)]
    _table([("In use", line) for line in lines or [printable(info.index)]] + [("Policy", policy_line(info.policy))])
    st.markdown("**On disk**")
    with errors.show_errors():
        use = maintenance.disk_use(entry.path)
    st.dataframe(
        [{"for": part.kind, "files": part.files, "size": format_size(part.bytes)} for part in use],
        hide_index=True,
        width=420,
        alt="Disk space used by the collection",
    )
    st.text(f"{format_size(sum(part.bytes for part in use))} in all")


def _last_run(entry: NamedCollection) -> str:
    with errors.show_errors():
        job = next(iter(jobs.list(entry.path, limit=1)), None)
    return (
        "none yet"
        if job is None
        else f"{run_descriptions.summarise_run(job).title}, {local_time(job.ended or job.started)}"
    )


def _licence(reference: str) -> str:
    from imseek.encoders import find_encoder

    entry = find_encoder(reference)
    return "" if entry is None else entry.licence_name or entry.licence


def _table(rows: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in rows) + 2
    st.code("\n".join(f"{name:<{width}}{value}" for name, value in rows), language=None, wrap_lines=True)
