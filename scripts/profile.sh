#!/usr/bin/env bash
# Records the profile that release builds are made with: benches/load/release-VERSION.profdata.
#
# Builds a gateway that counts what it executes, plays the load scripts to it (streamed, composed, HTTP/2, callers
# with tokens and keys, limits), and folds the counts into one file. To do again when the hot path or the compiler
# changed; half an hour on two cores. Says what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH=$PATH:/usr/sbin

sysroot=$(rustc --print sysroot)
host=$(rustc -vV | sed -n 's/^host: //p')
fold=$sysroot/lib/rustlib/$host/bin/llvm-profdata
if [ ! -x "$fold" ]; then
  rustup component add llvm-tools
fi
for tool in nginx wrk h2load openssl redis-server "$fold"; do
  command -v "$tool" >/dev/null || {
    echo "profile: $tool is missing" >&2
    exit 1
  }
done

# Functions are known by names that contain the settings of the build: the recording one differs in nothing but
# counting, and has a folder of its own so that no mixture is ever linked.
counts=$PWD/target/profile/counts
export CARGO_TARGET_DIR=$PWD/target/profile
HANZO_PROFILE=record:$counts cargo build --release --locked --bin hanzo-gateway
gateway=$CARGO_TARGET_DIR/release/hanzo-gateway
rm -rf "$counts"

python3 benches/load/run.py --gateway "$gateway" --rounds 1 --secs 2
python3 benches/load/run.py --gateway "$gateway" --rounds 1 --secs 2 --policies
python3 benches/load/h2.py --gateway "$gateway" --rounds 1 --secs 2
python3 benches/load/iam.py --gateway "$gateway" --rounds 1 --secs 1 --fresh 300
profile=benches/load/release-$(rustc -vV | sed -n 's/^release: //p').profdata
"$fold" merge --sparse -o "$profile" "$counts"
ls -l "$profile"
