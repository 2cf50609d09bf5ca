# Shell code shared by scripts/test, scripts/antipode and their kin. To be sourced, from bash 3.2 on
# (macOS). Needs ROOT, the checkout's folder. Everything it says goes to standard error, so that the
# standard output of `antipode` stays the command's own.
#
#   prepare_node      ends with a helpful sentence when Node is missing or too old
#   prepare_all       installs dependencies and builds, each only when stale, one process at a time
#   PREPARE_VERBOSE=1 shows what npm and tsc say; otherwise only when they fail

NODE_MAJOR_MIN=20
NODE_MINOR_MIN=19
LOCK_WAIT_SECONDS_MAX=900

DIST="$ROOT/dist"
CACHE="$ROOT/.cache"
INSTALL_STAMP="$ROOT/node_modules/.antipode-stamp"
BUILD_STAMP="$DIST/.stamp"

say() { printf '%s\n' "$*" >&2; }

prepare_node() {
  local version major rest minor
  if ! version=$(node --version 2>/dev/null); then
    say "antipode needs Node $NODE_MAJOR_MIN.$NODE_MINOR_MIN or newer, and there is no 'node' in PATH."
    say "Install it from your distribution, with nvm, or from https://nodejs.org, then try again."
    exit 1
  fi
  rest=${version#v}
  major=${rest%%.*}
  rest=${rest#*.}
  minor=${rest%%.*}
  if [ "$major" -lt "$NODE_MAJOR_MIN" ] ||
    { [ "$major" -eq "$NODE_MAJOR_MIN" ] && [ "$minor" -lt "$NODE_MINOR_MIN" ]; }; then
    say "antipode needs Node $NODE_MAJOR_MIN.$NODE_MINOR_MIN or newer; this is $version ($(command -v node))."
    say "Install a newer one from your distribution, with nvm, or from https://nodejs.org, then try again."
    exit 1
  fi
}

install_is_stale() {
  [ ! -f "$INSTALL_STAMP" ] || [ "$ROOT/package-lock.json" -nt "$INSTALL_STAMP" ]
}

# Prints one path that is newer than the build, or nothing. Folders count, so that a deleted file does.
first_newer_source() {
  find "$ROOT/services" "$ROOT/package-lock.json" "$ROOT/tsconfig.json" \
    \( -name '*.ts' -o -name '*.json' -o -type d \) -newer "$BUILD_STAMP" -print 2>/dev/null | head -n 1
}

build_is_stale() {
  [ ! -f "$BUILD_STAMP" ] || [ -n "$(first_newer_source)" ]
}

# Runs a command quietly; shows what it said when it fails. The lock's descriptor is not passed on.
quietly() {
  local output status
  if [ "${PREPARE_VERBOSE:-0}" = 1 ]; then
    "$@" >&2 </dev/null 9>&-
    return
  fi
  status=0
  output=$("$@" 2>&1 </dev/null 9>&-) || status=$?
  [ "$status" -eq 0 ] || say "$output"
  return "$status"
}

install_dependencies() {
  # `npm install` and `git checkout` touch the lock file too: look whether anything really differs.
  if ! node "$ROOT/scripts/lib/installed.mjs" 2>/dev/null; then
    if ! command -v npm >/dev/null 2>&1; then
      say "antipode: dependencies are missing and there is no 'npm' in PATH to install them with."
      return 1
    fi
    say "antipode: installing dependencies (npm ci)"
    if ! (cd "$ROOT" && quietly npm ci --include=dev --no-audit --no-fund); then
      say "antipode: npm ci failed, see above"
      return 1
    fi
  fi
  touch "$INSTALL_STAMP"
}

build_services() {
  say "antipode: building"
  mkdir -p "$DIST"
  # Stamped with the time before the build: what changes while it runs makes the next one stale.
  touch "$CACHE/build-started"
  if ! (cd "$ROOT" && quietly node node_modules/typescript/bin/tsc -p services); then
    say "antipode: the build failed, see above"
    return 1
  fi
  mv -f "$CACHE/build-started" "$BUILD_STAMP"
}

# One process at a time installs and builds: flock where there is one, else a folder with the owner's pid.
lock_prepare() {
  local owner waited=0
  mkdir -p "$CACHE"
  if command -v flock >/dev/null 2>&1; then
    exec 9>"$CACHE/prepare.lock"
    if ! flock -w "$LOCK_WAIT_SECONDS_MAX" 9; then
      say "antipode: another process has been building for $LOCK_WAIT_SECONDS_MAX s; is it stuck?"
      return 1
    fi
    return 0
  fi
  while ! mkdir "$CACHE/prepare.lock.d" 2>/dev/null; do
    owner=$(cat "$CACHE/prepare.lock.d/pid" 2>/dev/null || true)
    if { [ -n "$owner" ] && ! kill -0 "$owner" 2>/dev/null; } ||
      { [ -z "$owner" ] && [ -n "$(find "$CACHE/prepare.lock.d" -prune -mmin +1 2>/dev/null)" ]; }; then
      # Its owner is gone. A rename succeeds for one of several waiters only.
      mv "$CACHE/prepare.lock.d" "$CACHE/prepare.stale.$$" 2>/dev/null && rm -rf "$CACHE/prepare.stale.$$"
      continue
    fi
    waited=$((waited + 1))
    if [ "$waited" -gt "$LOCK_WAIT_SECONDS_MAX" ]; then
      say "antipode: process ${owner:-unknown} has been building for $LOCK_WAIT_SECONDS_MAX s; is it stuck?"
      return 1
    fi
    sleep 1
  done
  echo $$ >"$CACHE/prepare.lock.d/pid"
  trap 'rm -rf "$CACHE/prepare.lock.d"' EXIT
}

unlock_prepare() {
  if command -v flock >/dev/null 2>&1; then
    exec 9>&-
  else
    rm -rf "$CACHE/prepare.lock.d"
    trap - EXIT
  fi
}

prepare_all() {
  local status=0
  prepare_node
  if ! install_is_stale && ! build_is_stale; then return 0; fi
  lock_prepare || return 1
  # Whoever held the lock before may have done the work: ask again.
  if install_is_stale; then install_dependencies || status=1; fi
  if [ "$status" -eq 0 ] && build_is_stale; then build_services || status=1; fi
  unlock_prepare
  return "$status"
}
