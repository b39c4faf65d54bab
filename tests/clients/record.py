"""Record what the client programs return with the reference suite itself.

    /path/to/python3.10 tests/clients/record.py > tests/clients/reference.json     # safety-gymnasium==1.0.0

Takes a few minutes and needs OpenGL. Only the imported name changes: `safety_gym` becomes `safety_gymnasium`.
"""

import json
import subprocess
import sys
import types
from pathlib import Path

FOLDER = Path(__file__).parent
HELPERS = ("__init__", "record")


def names():
    return sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in HELPERS)


def plain(value):
    """Return nested results as JSON holds them."""
    return json.loads(json.dumps(value, default=lambda x: x.item()))


def load(name):
    text = (FOLDER / f"{name}.py").read_text()
    text = text.replace("import safety_gym as safety_gymnasium", "import safety_gymnasium")
    text = text.replace("from safety_gym.", "from safety_gymnasium.").replace('"safety_gym.', '"safety_gymnasium.')
    module = types.ModuleType(f"client_{name}")
    sys.modules[module.__name__] = module
    exec(compile(text, name, "exec"), vars(module))
    return module


def main():
    """Print the results of one program, or of all, each in a process of its own: OpenGL does not survive a fork."""
    if len(sys.argv) > 1:
        print(json.dumps(plain(load(sys.argv[1]).main())))
        return
    run = [sys.executable, __file__]
    lines = {name: subprocess.run([*run, name], stdout=-1, check=True, text=True).stdout.strip() for name in names()}
    print("{" + ",\n".join(f"{json.dumps(name)}: {line}" for name, line in lines.items()) + "}")


if __name__ == "__main__":
    main()
