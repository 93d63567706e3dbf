"""Mark images as quarantined in a catalog that was restored from a backup older than their quarantine.

Otherwise the next scan would consider their files gone, and drop their ids and tags.
"""

from __future__ import annotations

import os
from pathlib import Path

from imseek.data.catalog import quarantined_duplicates
from imseek.data.catalog.catalog_writer import LIVE
from imseek.data.catalog.quarantined_duplicates import QuarantineChange, live_sources, look_up_images
from imseek.data.files import durable_files
from imseek.data.user_files import safe_path
from imseek.data.writing.writer import Writer
from imseek.duplicates.actions import journal as journals
from imseek.duplicates.actions.execute import open_existing_parent
from imseek.duplicates.actions.journal_records import AWAY_STATES
from imseek.duplicates.actions.plans import MOVE_ACTIONS
from imseek.duplicates.actions.precheck import LeftAloneError, translate_errors
from imseek.duplicates.actions.revert import find_moved_file
from imseek.duplicates.actions.undo_bounds import UndoBounds


def recover_quarantine(root: Path) -> int:
    """Quarantine live images whose files are where the journals say they were put, and no longer at their places.

    Returns the number of images. Raises as :class:`Writer`.
    """
    all_journals = journals.load_journals(root)
    if not any(AWAY_STATES & set(journal.states.values()) for journal in all_journals):
        return 0
    with Writer(root, "recall") as writer:
        bounds = UndoBounds(root, live_sources(root))
        away_ids = set()
        for journal in all_journals:
            moves = [
                i for n, i in journal.intents.items() if journal.states[n] in AWAY_STATES and i.action in MOVE_ACTIONS
            ]
            images = look_up_images(root, [intent.image_id for intent in moves])
            for recorded in moves:
                image = images.get(recorded.image_id)
                if image is None or image.state != LIVE or image.content_hash.hex() != recorded.content_hash:
                    continue
                try:
                    intent, spot = bounds.locate(journal, recorded)
                    with translate_errors(), open_existing_parent(spot) as at:
                        is_absent = at is None or safe_path.stat_entry(at) is None
                except LeftAloneError:
                    continue
                put_away = find_moved_file(journal, intent)
                if is_absent and put_away is not None and os.path.lexists(put_away.full):
                    away_ids.add(intent.image_id)
        quarantined_duplicates.apply_change(writer, QuarantineChange(put_away=sorted(away_ids)))
    return len(away_ids)


def remove_undone_journals(root: Path) -> int:
    """Delete the journals of undone plans, which name files that may be gone by now; return how many.

    Journals with damaged lines are kept: they may be the only trace of a file that was put away.
    """
    all_journals = journals.load_journals(root)
    intact = (journal for journal in all_journals if journal.is_whole and not journal.damaged)
    return durable_files.remove_files(journal.file for journal in intact if journal.state == "undone")
