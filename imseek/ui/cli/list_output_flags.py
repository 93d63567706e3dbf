"""Output flags of commands that list: ``--csv``, ``--force`` and ``--json``, parsed into one value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from imseek.ui.cli import common_options as options
from imseek.ui.cli.common_options import ForceOption, JsonOption
from imseek.ui.cli.flag_groups import flag_group
from imseek.ui.cli.output_files import check_csv, is_stdout, write_csv


@dataclass(frozen=True, slots=True)
class ListFlags:
    """The output flags."""

    csv: Annotated[Path | None, options.csv("Also write the list as CSV.")] = None
    force: ForceOption = False
    as_json: JsonOption = False

    def checked(self) -> ListFlags:
        """Check the flags before any work. Raises as :func:`imseek.ui.cli.output_files.check_csv`."""
        check_csv(self.csv, force=self.force, rivals={"--json": self.as_json})
        return self

    def write(self, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
        """Write the CSV file, if requested. Raises as :func:`imseek.ui.cli.output_files.new_file`."""
        if self.csv is not None:
            write_csv(self.csv, columns, rows, force=self.force)

    def lines(self, make: Callable[[], list[str]]) -> Callable[[], list[str]]:
        """Return ``make``, which formats the list for people; none of it where stdout is for CSV alone."""
        return list if is_stdout(self.csv) else make

    def print_list(self, text: str) -> None:
        """Print the list for people, unless stdout is for CSV alone."""
        if not is_stdout(self.csv):
            print(text)


#: Flags that yield a :class:`ListFlags`.
LIST_FLAGS: Final = flag_group(ListFlags, ListFlags.checked)
