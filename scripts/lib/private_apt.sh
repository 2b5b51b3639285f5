# Debian packages without installing them: apt fetches and checks them, with a state of its own.
# Nothing of the system changes and no root is needed. Sourced, never run.

# Further options of apt, such as other sources than the machine's own.
apt_options=()

# begin_private_apt: make the state; fails where there is no apt.
begin_private_apt() {
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
  apt_state=$(mktemp -d)
  trap 'rm -rf "$apt_state"' EXIT
  mkdir -p "$apt_state/lists/partial" "$apt_state/archives/partial"
  : >"$apt_state/status"
}

private_apt() {
  apt-get -qq \
    -o Dir::State="$apt_state" -o Dir::State::status="$apt_state/status" -o Dir::State::lists="$apt_state/lists" \
    -o Dir::Cache="$apt_state" -o Dir::Cache::archives="$apt_state/archives" \
    -o APT::Sandbox::User= -o Debug::NoLocking=1 -o Acquire::Retries=1 "${apt_options[@]}" "$@" >&2
}

# download_packages NAME…: fetch packages with all that they depend on.
download_packages() { private_apt update && private_apt --download-only --no-install-recommends -y install "$@"; }

# unpack_packages FOLDER: put what was fetched into a folder, which is emptied first.
unpack_packages() {
  local package
  rm -rf "$1"
  mkdir -p "$1"
  for package in "$apt_state"/archives/*.deb; do dpkg-deb -x "$package" "$1"; done
}

# write_starter FOLDER PROGRAM: put a script into the folder that runs a program unpacked there with the C library that
# was fetched with it; fails if there is none.
write_starter() {
  local loader libraries starter
  loader=$(cd "$1" && find -L usr/lib usr/lib64 lib lib64 -name 'ld-linux*.so.*' 2>/dev/null | head -n 1) || true
  libraries=$(cd "$1" && find -L usr/lib lib -name '*.so.*' ! -path '*/gconv/*' -printf "$1/%h\n" 2>/dev/null | sort -u | paste -sd :) || true
  [ -n "$loader" ] || return 1
  starter="$1/$(basename "$2")"
  printf '#!/bin/sh\nexec "%s" --library-path "%s" "%s" "$@"\n' "$1/$loader" "$libraries" "$1/$2" >"$starter"
  chmod +x "$starter"
}

# mirrors: print from where this machine gets its packages.
mirrors() {
  # shellcheck disable=SC2016 # apt fills in what is between the quotes
  apt-get indextargets --format '$(SITE) $(RELEASE)' "Created-By: Packages" | grep -v security | cut -d ' ' -f 1 | sort -u
}

# take_suite MIRROR SUITE: get packages of another suite of Debian from there. The machine's own sources are of its own.
take_suite() {
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $1 $2 main" >"$apt_state/sources.list"
  apt_options=(-o "Dir::Etc::SourceList=$apt_state/sources.list" -o Dir::Etc::SourceParts=/dev/null)
}
