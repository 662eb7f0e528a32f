#!/usr/bin/env bash
# rustc, as cargo calls it (`[build] rustc-wrapper` of .cargo/config.toml), with the recorded profile of a loaded
# gateway for release builds: what a request passes stands together in memory then, and the rest is out of its way.
#
# The profile is benches/load/release-VERSION.profdata, for that version of the compiler; `make profile` records it
# anew. It fits the settings of the release profile only, as names of functions contain them; functions that changed
# since are built as if there were none.
#
#   HANZO_PROFILE=off          build without it
#   HANZO_PROFILE=record:DIR   build a gateway that records one: into DIR, when it ends
#
# bash, as plain shells drop the variables with a hyphen in their names by which tests find the binary.
set -eu

# Only what is optimised as the release profile says; build scripts and macros are not.
case " $* " in
  *" opt-level=3 "*) ;;
  *) exec "$@" ;;
esac
case " $* " in
  *" codegen-units=1 "*) ;;
  *) exec "$@" ;;
esac

case "${HANZO_PROFILE:-use}" in
  off) exec "$@" ;;
  record:*) exec "$@" -C profile-generate="${HANZO_PROFILE#record:}" ;;
esac
# Another compiler may not read it, and has other names; so has another system.
file=${0%/*}/../benches/load/release-$("$1" -vV | sed -n 's/^release: //p').profdata
[ -r "$file" ] && [ "$(uname -sm)" = "Linux x86_64" ] || exec "$@"
# The linker keeps hot functions together when it is asked to; linkers that cannot ignore it.
exec "$@" -C profile-use="$file" -C llvm-args=-no-pgo-warn-mismatch -C link-arg=-Wl,-z,keep-text-section-prefix
