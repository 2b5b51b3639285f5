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
