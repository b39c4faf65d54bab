#!/usr/bin/env bash
# Create the virtual environment $1 with the first Python >= 3.11 found (or with $2). Installs nothing else.
set -euo pipefail

venv=$1
wanted=${2:-}
candidates=(python3 python3.11 python3.12 python3.13 python3.14 python)
[[ -n $wanted ]] && candidates=("$wanted")

for candidate in "${candidates[@]}"; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
        echo "Creating $venv with $("$candidate" --version) ($(command -v "$candidate"))"
        trap 'rm -rf "$venv"; exit 130' INT TERM # half an environment would be taken for a whole one
        if ! "$candidate" -m venv "$venv"; then
            rm -rf "$venv"
            echo "This Python cannot create virtual environments. On Debian and Ubuntu: apt-get install python3-venv" >&2
            exit 1
        fi
        exit 0
    fi
done

echo "Python 3.11 or newer is needed; tried: ${candidates[*]}." >&2
echo "Name one with: make ${MAKECMDGOALS:-test} PYTHON=/path/to/python3.11" >&2
exit 1
