# Sourced by the other scripts: finds a Python from 3.11 and makes .venv with everything in it.
# The environment is made anew when a pyproject or the requirements change.

here=$(cd "$(dirname "$0")/.." && pwd)
cd "$here" || exit 1
venv=${AUTOPILOT_VENV:-$here/.venv}

find_python() {
    for name in "${PYTHON:-}" python3 python3.13 python3.12 python3.11 python3.14; do
        [ -n "$name" ] && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && {
            echo "$name"
            return
        }
    done
    echo "Autopilot needs Python 3.11 or newer; none was found on PATH (set PYTHON=...)." >&2
    exit 4
}

stamp=$(cat requirements-dev.txt pyproject.toml autopilot-adapter-*/pyproject.toml | cksum)
if [ "$(cat "$venv/.stamp" 2>/dev/null)" != "$stamp" ]; then
    python=$(find_python) || exit 4
    echo "Making $venv (a minute, once) ..." >&2
    "$python" -m venv "$venv" || exit 4
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt || exit 4
    echo "$stamp" >"$venv/.stamp"
fi
PATH="$venv/bin:$PATH"
export PATH
