#!/bin/sh
# Licences, bans, sources and advisories of the dependency tree, where cargo-deny is installed.
set -eu
cd "$(dirname "$0")/.."

if ! cargo deny --version >/dev/null 2>&1; then
  echo "deny skipped: cargo-deny is not installed (cargo install --locked cargo-deny)"
  exit 0
fi
cargo deny --log-level error check bans licenses sources
# The advisory database is on the net; without it the rest still counts.
if cargo deny --log-level error fetch db >/dev/null 2>&1; then
  cargo deny --log-level error check advisories
else
  echo "advisories skipped: their database is out of reach"
fi
