"""Maintenance of a collection: due tasks, checks, repair, renaming and deletion."""

from __future__ import annotations

import os
from typing import Any, TypeAlias, cast

import streamlit as st

from imseek import library, maintenance, ocr
from imseek.encoders import PRESETS
from imseek.library import NamedCollection
from imseek.types.collection_info import CollectionInfo
from imseek.types.maintenance_reports import RepairReport, VerifyReport
from imseek.ui.render.words import format_count, format_size, printable
from imseek.ui.web import background, job_costs
from imseek.ui.web.background import BackgroundTask
from imseek.ui.web.pages.collections import run_status
from imseek.ui.web.parts import errors, navigation
from imseek.ui.web.plain_text import escape_markdown

_VERIFY = "verify"
_REPAIR = "repair"
_SHOWN = 20
#: A button, what it does, whether that is due, and the command.
_Task: TypeAlias = tuple[str, str, bool, tuple[str, ...]]


def show(entry: NamedCollection, info: CollectionInfo) -> None:
    """Draw the tasks, marking those that are due."""
    with errors.show_errors():
        due = maintenance.due(entry.path)
    busy = run_status.running_job(entry) is not None
    with st.container():  # Its own container, so that nothing below it moves.
        if busy:
            run_status.show_busy()
    embeds = any(summary.space.modality == "text" for summary in info.spaces)
    kind = info.policy.kind
    copying = job_costs.describe(job_costs.seconds("copy", info.bytes_on_disk))
    tasks: list[_Task] = [
        *_better_model(info),
        (
            "Merge files",
            f"Merges small files and removes unused ones. Takes {copying}.",
            due.merge,
            ("maintain",),
        ),
        (
            "Build the vector index",
            "Speeds up searches in large collections; small ones do not need it. "
            f"Takes {job_costs.describe(job_costs.seconds('index', info.images))}.",
            bool(due.index),
            ("maintain", f"--index={kind}"),
        ),
        (
            "Purge",
            f"Erases the data of removed pictures ({due.dead:,} now). Takes {copying}.",
            False,
            ("maintain", "--purge"),
        ),
        (
            "Measure",
            f"Measures brightness, contrast and sharpness where missing ({due.unmeasured:,} pictures). Takes "
            f"{job_costs.describe(job_costs.seconds('measure', due.unmeasured))}.",
            due.unmeasured > 0,
            ("maintain", "--measure"),
        ),
    ]
    if not embeds and "text" in (info.spaces[0].modalities or ("text",)):
        duration = job_costs.describe(job_costs.seconds("caption", info.images))
        line = f"Makes captions searchable by meaning. Takes {duration} at most."
        tasks.append(("Embed captions", line, False, ("maintain", "--captions")))
    if not ocr.is_active(entry.path):
        duration = job_costs.describe(job_costs.seconds("text", info.images))
        line = f"Finds pictures by the words that they show, now and when pictures are added. Takes {duration}."
        tasks.append(("Read text in pictures", line, False, ("maintain", "--ocr")))
    for label, line, is_due, command in tasks:
        with st.container(horizontal=True, vertical_alignment="center"):
            pressed = st.button(
                label,
                key=f"collections-do-{label}",
                disabled=busy,
                type="primary" if is_due else "secondary",
                width=200,
            )
            st.text(f"{line} Recommended now." if is_due else line)
        if pressed:
            run_status.start(entry, command)
    _check(entry, busy, f" Takes {job_costs.describe(job_costs.seconds('read', info.bytes_on_disk))}.")
    st.divider()
    _rename(entry, busy)
    _delete(entry, format_count(info.images, "picture"), busy)


def _better_model(info: CollectionInfo) -> list[_Task]:
    """Offer to encode the pictures again, if their encoder is a basic one."""
    from imseek.encoders import find_encoder

    basic = next((one for one in info.spaces if one.space.quality == "basic" and one.space.modality == "image"), None)
    encoder = find_encoder(PRESETS["default"].reference)
    if basic is None or encoder is None:
        return []
    line = "Finds more by words. Encodes all again. "
    line += job_costs.describe_indexing(info.images, basic=False)
    if not encoder.is_cached:
        line += f" Downloads {format_size(encoder.download_bytes)} first."
    return [("Get the better model", line, False, ("maintain", "--reencode=default", f"--space={basic.space_id}"))]


def show_broken(entry: NamedCollection) -> None:
    """Draw check, repair and deletion of a collection that cannot be opened."""
    st.text("Other collections are not affected. `imseek doctor` in a terminal tells you more.")
    _check(entry, busy=False)
    _offer_repair(entry, "broken")
    st.divider()
    _delete(entry, "contents unknown", busy=False)


def show_checks(entry: NamedCollection) -> None:
    """Show the progress or the results of checks and repairs."""
    for kind in (_VERIFY, _REPAIR):
        work = background.find(kind, str(entry.path))
        if work is not None and work.running:
            _show_running(work)
        elif work is not None:
            _show_outcome(entry, kind, work)


def _check(entry: NamedCollection, busy: bool, duration: str = "") -> None:
    """Draw the button that reads all files, and its ``duration`` if that is known."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Check", key="collections-check", disabled=busy, width=200):
            background.start(_VERIFY, str(entry.path), lambda work: _verify(work, entry), f"Checking {entry.name}")
            st.rerun()
        st.text(f"Reads all files of the collection and verifies their checksums. Changes nothing.{duration}")


def _verify(work: BackgroundTask[Any], entry: NamedCollection) -> VerifyReport:
    work.say("Reading all files…")
    return maintenance.verify(entry.path)


def _repair(work: BackgroundTask[Any], entry: NamedCollection) -> RepairReport:
    work.say("Repairing…")
    return maintenance.repair(entry.path)


@st.fragment(run_every=0.5)
def _show_running(work: BackgroundTask[Any]) -> None:
    if not work.running:
        st.rerun()
    st.text(work.message)


def _show_outcome(entry: NamedCollection, kind: str, work: BackgroundTask[Any]) -> None:
    with st.container(border=True):
        if work.error is not None:
            errors.show_error(work.error)
        elif kind == _VERIFY:
            _show_problems(entry, cast("VerifyReport", work.result()))
        else:
            report = cast("RepairReport", work.result())
            for line in (
                *(f"Restored: {one}" for one in report.restored),
                *(f"Lost: {one}" for one in report.lost),
            ):
                st.text(printable(line))
            st.text(
                "Repaired: no problems left"
                if report.after.ok
                else f"{format_count(len(report.after.problems), 'problem')} left"
            )
        if st.button("Hide", key=f"collections-hide-{kind}"):
            background.forget(work)
            st.rerun()


def _show_problems(entry: NamedCollection, report: VerifyReport) -> None:
    extent = f"{format_count(report.files_checked, 'file')} ({format_size(report.bytes_checked)}) were read"
    if report.ok:
        st.text(f"No problems: {extent}")
        return
    st.text(f"⚠️ {format_count(len(report.problems), 'problem')}; {extent}")
    for problem in report.problems[:_SHOWN]:
        st.text(f"{problem.file}: {printable(problem.message)}")
    if len(report.problems) > _SHOWN:
        st.text("and more: `imseek collection verify`")
    _offer_repair(entry, "checked")


def _offer_repair(entry: NamedCollection, where: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Repair", key=f"collections-repair-{where}", width=200):
            if (check := background.find(_VERIFY, str(entry.path))) is not None:
                background.forget(check)
            background.start(_REPAIR, str(entry.path), lambda work: _repair(work, entry), f"Repairing {entry.name}")
            st.rerun()
        st.text("Restores what it can from shards, backups and the catalog, and lists what is lost.")


def _rename(entry: NamedCollection, busy: bool) -> None:
    if all(one.path != entry.path for one in library.list_collections(os.environ)):
        return  # It lies outside the library, so its folder is not ours to rename.
    with st.form("collections-rename", border=False):
        new = st.text_input("New name", value=entry.name, max_chars=64, width=400)
        pressed = st.form_submit_button("Rename", disabled=busy)
    if pressed and new.strip() != entry.name:
        with errors.show_errors():
            library.rename(entry.name, new.strip(), os.environ)
        navigation.choose(new.strip())
        st.rerun()


def _delete(entry: NamedCollection, contents: str, busy: bool) -> None:
    label = escape_markdown(entry.name)
    if st.button(f"Delete {label}…", disabled=busy, key="collections-delete"):
        st.dialog(f"Delete {label}?")(_confirm_delete)(entry, contents)


def _confirm_delete(entry: NamedCollection, contents: str) -> None:
    st.text(f"{printable(str(entry.path))} ({contents})")
    st.text("This deletes the index, labels and judgements. The pictures themselves stay.")
    typed = st.text_input("Type its name to confirm", live="300ms")
    st.text(entry.name)
    with st.container(horizontal=True):
        label = f"Delete {escape_markdown(entry.name)}"
        if st.button(label, type="primary", disabled=typed.strip() != entry.name, key="collections-delete-yes"):
            with errors.show_errors():
                library.delete(entry.path, entry.name)
            st.toast(f"Deleted {escape_markdown(entry.name)}")
            st.rerun()
        if st.button("Cancel", key="collections-delete-no"):
            st.rerun()
