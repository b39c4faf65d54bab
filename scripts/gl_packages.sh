#!/usr/bin/env bash
# Install the system libraries that headless rendering needs (with the argument `tests`: a virtual display and a
# browser as well), where that is possible without asking: as root, with apt-get, and only if they are missing.
# Otherwise say in one sentence what is missing. Never fails.
set -u

[[ $(uname -s) == Linux ]] || exit 0

has_library() { ldconfig -p 2>/dev/null | grep -q "$1"; }
has_gl() { has_library 'libEGL\.so\.1' || has_library 'libOSMesa\.so'; }
has_browser() { command -v chromium chromium-browser google-chrome google-chrome-stable >/dev/null; }

packages=()
has_gl || packages+=(libegl1 libegl-mesa0 libgl1-mesa-dri libosmesa6)
if [[ ${1:-} == tests ]] && ! command -v Xvfb >/dev/null; then
    packages+=(xvfb)
fi
# Elsewhere the package of this name fetches a snap.
if [[ ${1:-} == tests ]] && ! has_browser && grep -qs '^ID=debian$' /etc/os-release; then
    packages+=(chromium)
fi
((${#packages[@]})) || exit 0

if [[ ${SYSTEM_PACKAGES:-1} == 0 || $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    echo "Missing system packages: without ${packages[*]} what needs pictures, a display or a browser is skipped" \
        "(Debian, Ubuntu: sudo apt-get install ${packages[*]})."
    exit 0
fi

echo "Installing system packages for pictures and tests: ${packages[*]} (SYSTEM_PACKAGES=0 skips this)"
apt=(env DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=1 -o Acquire::http::Timeout=30)
log=$(mktemp)
"${apt[@]}" update -qq >"$log" 2>&1
# One by one: a distribution that dropped one of them (libosmesa6) still gets the others.
for package in "${packages[@]}"; do
    "${apt[@]}" install -qq -y --no-install-recommends "$package" >>"$log" 2>&1
done
if has_gl; then
    rm -f "$log"
else
    echo "apt-get did not provide an OpenGL library (log: $log); what needs pictures is skipped."
fi
exit 0
