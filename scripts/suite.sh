#!/usr/bin/env bash
# Plays a suite that lives beside the checkout (../shared) against a gateway, in KrakenD's dialect or, with
# DIALECT=native, in the other one.
#
#   scripts/suite.sh conformance BINARY [NAME-OR-GLOB …]
#   scripts/suite.sh differential BINARY [NAME-OR-GLOB …]
#
# Without names it plays those that tests/conformance/specs.txt and cases.txt list. SUITES names
# another folder than ../shared, RESULTS a file for the results as JSON, LANE the lane (`--lane`).
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '5,6s/^# *//p' "$0" >&2; exit 2; }
[ $# -ge 2 ] || usage
suite=$1 binary=$(realpath "$2")
shift 2

suites=${SUITES:-../shared}
export PYTHONDONTWRITEBYTECODE=1
if [ ! -f "$suites/conformance/run.py" ]; then
  echo "skipped: suites not found"
  exit 0
fi

case $suite in
  conformance) list=tests/conformance/specs.txt available="$suites/conformance/fixtures/specs" ;;
  differential) list=tests/conformance/cases.txt available="$suites/differential/open" ;;
  *) usage ;;
esac

wanted=()
if [ $# -gt 0 ]; then
  wanted=("$@")
else
  while read -r name; do
    wanted+=("$name")
  done < <(sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' "$list")
fi

only=()
for file in "$available"/*.json; do
  name=$(basename "$file" .json)
  for pattern in "${wanted[@]}"; do
    # A pattern on the right is a glob on purpose.
    # shellcheck disable=SC2053
    if [[ $name != *.golden && $name == $pattern ]]; then
      only+=(--only "$name")
      break
    fi
  done
done
if [ ${#only[@]} -eq 0 ]; then
  echo "$suite: none of these: ${wanted[*]}" >&2
  exit 2
fi

# Free ports, each with its neighbour free too, as the differential runner takes both. Not of those that the system
# gives to connections: one of these may be taken between now and its use.
ports=$(python3 - <<'PYTHON'
import random, socket

lowest = int(open("/proc/sys/net/ipv4/ip_local_port_range").read().split()[0])
taken, ports = [], []
while len(ports) < 3:
    port = random.randrange(max(1024, lowest - 16384), max(1026, lowest - 1))
    first, second = socket.socket(), socket.socket()
    taken += [first, second]
    try:
        first.bind(("127.0.0.1", port))
        second.bind(("127.0.0.1", port + 1))
    except OSError:
        continue
    ports.append(port)
print(*ports)
PYTHON
)
read -r port upstream metrics <<<"$ports"

results=()
[ -z "${RESULTS:-}" ] || results=(--json "$RESULTS")
lane=${LANE:+--lane $LANE}
dialect=${DIALECT:-krakend}
compat="--compat $dialect"
run="'$binary' run $lane $compat -c {config}"
[ "$dialect" = krakend ] || run="'$binary' run $lane $compat --allow-unprotected -c {config}"
case $suite in
  conformance)
    # The specs call the gateway's own debug endpoint; KrakenD's runner starts it with -d too.
    run=${run/ run / run -d }
    exec python3 "$suites/conformance/run.py" --gateway "$run" --port "$port" --backend-port "$upstream" \
      --metrics-port "$metrics" "${only[@]}" ${results[@]+"${results[@]}"}
    ;;
  differential)
    exec python3 "$suites/differential/diff.py" --b "$run" --check-b "'$binary' check $compat -c {config}" \
      --port "$port" --upstream-port "$upstream" "${only[@]}" -v ${results[@]+"${results[@]}"}
    ;;
esac
