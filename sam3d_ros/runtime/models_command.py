"""`sam3d models`: the bundles of this machine and what each is."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from sam3d_ros.types import InputError

from .bundle import Bundle
from .find import Damaged, bundles, folders, user_folder


def run(verify: bool = False) -> int:
    """Print every bundle; 1 where one is damaged. verify: read every byte and compare the hashes."""
    console = Console()
    found = bundles()
    good = True
    for item in found:
        problem = item.reason if isinstance(item, Damaged) else _problem(item, verify)
        name = item.folder.name if isinstance(item, Damaged) else _title(item)
        mark = "[red]damaged[/]" if problem else "[green]ok[/]     "
        console.print(f"{mark} {escape(name)}", highlight=False, soft_wrap=True)
        for line in (problem,) if isinstance(item, Damaged) or problem else _lines(item):
            console.print(f"        {escape(line)}", highlight=False, soft_wrap=True)
        good = good and not problem
    if not found:
        places = (
            ", ".join(map(str, folders())) or f"no folder that exists; bundles may lie in {user_folder()}"
        )
        console.print(f"no bundles in {escape(places)}", highlight=False, soft_wrap=True)
    return 0 if good else 1


def _problem(bundle: Bundle, verify: bool) -> str:
    try:
        if verify:
            bundle.verify()
    except InputError as error:
        return str(error)
    return ""


def _title(bundle: Bundle) -> str:
    about = bundle.about
    alias = "" if bundle.folder.name == about.name else f" (folder {bundle.folder.name})"
    return f"{about.name} {about.version}{alias}: {about.description}"


def _lines(bundle: Bundle) -> list[str]:
    graphs = [f"{g.name} ({g.precision})" for g in bundle.graphs.values()]
    return [
        f"graphs   {', '.join(graphs) or 'none'}",
        f"size     {bundle.bytes / 1e6:.1f} MB in {bundle.folder}",
        f"licence  {bundle.about.licence}",
    ]
