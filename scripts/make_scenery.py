"""Make the meshes, pictures and MJCF files of static surroundings, and the meshes of objects.

python scripts/make_scenery.py           # all of them, into envs/assets/scenery
python scripts/make_scenery.py race      # those of a recipe in scripts/scenery
"""

from __future__ import annotations

import argparse
from pathlib import Path

from scenery import building, formula_one, objects, race

FOLDER = Path(__file__).resolve().parent.parent / "envs" / "assets" / "scenery"
RECIPES = {
    "objects": objects.write,
    "race": race.write,
    "building": building.write,
    "formula_one": formula_one.write,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", metavar="NAME", nargs="*", choices=[[], *RECIPES], help="recipes; default: all")
    parser.add_argument("--output", type=Path, default=FOLDER)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    for name in args.names or RECIPES:
        RECIPES[name](args.output)
    files = sorted(path for path in args.output.iterdir() if path.is_file())
    for path in files:
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")
    print(f"{sum(path.stat().st_size for path in files) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
