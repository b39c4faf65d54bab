#!/usr/bin/env bash
# Install the software OpenGL libraries that headless rendering needs, where that is possible without asking:
# as root, with apt-get, and only if they are missing. Otherwise say in one sentence what is missing. Never fails.
set -u

packages=(libegl1 libegl-mesa0 libgl1-mesa-dri libosmesa6 xvfb)

has_library() { ldconfig -p 2>/dev/null | grep -q "$1"; }

if has_library libEGL.so.1 || has_library libOSMesa.so; then
    exit 0
fi
if [[ $(uname -s) != Linux ]]; then
    exit 0
fi
if [[ ${SYSTEM_PACKAGES:-1} == 0 || $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    echo "No EGL or OSMesa library found: pictures and videos are skipped until you install it" \
        "(Debian, Ubuntu: sudo apt-get install ${packages[*]})."
    exit 0
fi

echo "Installing system packages for headless rendering: ${packages[*]} (SYSTEM_PACKAGES=0 skips this)"
apt=(env DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=1 -o Acquire::http::Timeout=30)
log=$(mktemp)
"${apt[@]}" update -qq >"$log" 2>&1
# One by one: a distribution that dropped one of them (libosmesa6) still gets the others.
for package in "${packages[@]}"; do
    "${apt[@]}" install -qq -y --no-install-recommends "$package" >>"$log" 2>&1
done
if has_library libEGL.so.1 || has_library libOSMesa.so; then
    rm -f "$log"
else
    echo "apt-get did not provide an OpenGL library (log: $log); pictures and videos are skipped."
fi
exit 0
