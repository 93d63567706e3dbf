"""Mark images as quarantined in a catalog that was restored from a backup older than their quarantine.

Otherwise the next scan would consider their files gone, and drop their ids and tags.
"""

from __future__ import annotations

import os
from pathlib import Path

from imseek.curate.actions import journal as journals
from imseek.curate.actions.execute import folder_of
from imseek.curate.actions.journal_records import AWAY
from imseek.curate.actions.plans import MOVING
from imseek.curate.actions.precheck import LeftAloneError, explained
from imseek.curate.actions.revert import where
from imseek.curate.actions.undo_bounds import Bounds
from imseek.data import durable_files, quarantine, safe_path
from imseek.data.catalog import LIVE
from imseek.data.quarantine import Change, live_sources, look_up
from imseek.data.writer import Writer


def recall(root: Path) -> int:
    """Quarantine live images whose files are where the journals say they were put, and no longer at their places.

    Returns the number of images. Raises as :class:`Writer`.
    """
    found = journals.journals(root)
    if not any(AWAY & set(journal.states.values()) for journal in found):
        return 0
    with Writer(root, "recall") as writer:
        bounds = Bounds(root, live_sources(root))
        away = set()
        for journal in found:
            mine = [i for n, i in journal.intents.items() if journal.states[n] in AWAY and i.action in MOVING]
            held = look_up(root, [intent.image_id for intent in mine])
            for recorded in mine:
                image = held.get(recorded.image_id)
                if image is None or image.state != LIVE or image.content_hash.hex() != recorded.content_hash:
                    continue
                try:
                    intent, spot = bounds.locate(journal, recorded)
                    with explained(), folder_of(spot) as at:
                        gone = at is None or safe_path.stat_entry(at) is None
                except LeftAloneError:
                    continue
                kept = where(journal, intent)
                if gone and kept is not None and os.path.lexists(kept.full):
                    away.add(intent.image_id)
        quarantine.make(writer, Change(put_away=sorted(away)))
    return len(away)


def forget(root: Path) -> int:
    """Delete the journals of undone plans, which name files that may be gone by now; return how many.

    Journals with damaged lines are kept: they may be the only trace of a file that was put away.
    """
    found = journals.journals(root)
    whole = (one for one in found if one.is_whole and not one.damaged)
    return durable_files.remove_files(one.file for one in whole if one.state == "undone")
