# Sourced by ./demo and ./test: installs what is missing, configures and builds. Not for direct use.
#
# ONEAI_BUILD_DIR (default build/release) is where binaries go. Everything is idempotent: a second run is quick.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${ONEAI_BUILD_DIR:-$root/build/release}

say() { printf '\033[1m== %s\033[0m\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Installs the packages of cmake/debian-packages.txt, and of other lists named, that dpkg does not have. A newer node or
# npm that is already on PATH counts as the package.
install_missing() {
  command -v dpkg-query >/dev/null || die "this script installs with apt; on another system install the packages of cmake/debian-packages.txt yourself and build with: cmake --workflow --preset release"
  local missing=() package
  while read -r package; do
    case "$package" in ''|'#'*) continue ;; esac
    case "$package" in nodejs) command -v node >/dev/null && continue ;; npm) command -v npm >/dev/null && continue ;; esac
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done < <(cat "$root/cmake/debian-packages.txt" "$@")
  [ ${#missing[@]} -eq 0 ] && return
  say "installing ${#missing[@]} packages: ${missing[*]}"
  local sudo=
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "need root to install: ${missing[*]}"
    sudo=sudo
  fi
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Configures once, then builds the given targets (all when none is named).
build_targets() {
  if [ ! -f "$build/build.ninja" ]; then
    say "configuring"
    cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release >"$build.configure.log" 2>&1 || {
      tail -30 "$build.configure.log" >&2
      die "configuring failed; the whole log is in $build.configure.log"
    }
  fi
  say "building (a first build takes some minutes, later ones seconds)"
  cmake --build "$build" --target "${@:-all}"
}
