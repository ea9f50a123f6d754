"""Makes the missing runs of tables and writes EXPERIMENTS.md.

    python -m experiments [NAME…] [--seeds N,…] [--full --data FOLDER] [--device cpu|cuda] [--jobs N] [--page]

Names are tables of experiments/tables, all of them without one, or the studies beside them (fashion40, …), which
scripts/experiments runs. Stopped at any time, the same command goes on; --seeds makes only the runs of these seeds, so that all
tables show something early. --page only writes the page. --full runs the paper's size, on the user's own copy of the data;
results are kept by the name of its folder (Table 1 has two, cifar-10 and cifar-100).
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from experiments import declaration, page, running, serving
from experiments.store import FULL, Store


def _numbers(text: str) -> set[int]:
    return {int(number) for number in text.split(",")}


def main() -> None:
    parser = argparse.ArgumentParser(prog="experiments", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--full", action="store_true", help="run the paper's size")
    parser.add_argument("--data", help="folder with the data of --full")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="where networks train [default: a GPU if there is one]")
    parser.add_argument("--seeds", type=_numbers, metavar="N,…", help="make only the runs of these seeds")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="networks trained side by side [default: the cores]")
    parser.add_argument("--page", action="store_true", help="only write EXPERIMENTS.md")
    options = parser.parse_args()
    if options.full != (options.data is not None) or options.full and not options.names:
        parser.error("--full needs --data and the tables that are on this data")
    full_on = Path(options.data).resolve().name if options.full else None
    if options.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if serving.NAME in options.names:
        environment = os.environ | {"ONLY": serving.BENCH}
        subprocess.run([declaration.FOLDER.parent / "scripts" / "bench"], check=True, env=environment)
        options.names.remove(serving.NAME)
        if not options.names:
            page.write()
            return
    studies = [name for name in options.names if (declaration.FOLDER / f"{name}.json").is_file()]
    for study in studies:
        subprocess.run([sys.executable, declaration.FOLDER.parent / "scripts" / "experiments", study], check=True)
    options.names = [name for name in options.names if name not in studies]
    if studies and not options.names:
        return
    try:
        tables = [declaration.load(name, full_on) for name in options.names or declaration.names()]
    except declaration.DeclarationError as error:
        sys.exit(str(error))
    failed = []
    for table in [] if options.page else tables:
        store = Store(table.name if full_on is None else f"{table.name}{FULL}{full_on}")
        try:
            failed += running.make(table, store, options.jobs, options.data, options.seeds)
        finally:
            page.write()
    page.write()
    print(page.PAGE)
    if failed:
        sys.exit("\n".join([f"{len(failed)} runs failed:", *failed]))


if __name__ == "__main__":
    main()
