#!/usr/bin/env bash
# The agents that the browser tests look at, in network namespaces of their own (as root):
#   demo    127.0.0.1:7801  `hivewall demo`: a fleet of five hosts
#   replay  127.0.0.1:7802  `hivewall replay --serve` of a capture with 100,000 flows, made by `capture.mjs`
#   host    127.0.0.1:7803  a real agent: eBPF on a link to another namespace, history, detectors, a policy, traffic
#
#   bed.sh up             makes it and leaves it there
#   bed.sh down           takes it away
#   bed.sh in COMMAND…    runs a command where the agents are
#   bed.sh test [ARG…]    makes it, looks at the page with Playwright, and takes it away
#   bed.sh api            makes it, asks the API whatever its description allows and much that it does not, and takes it away
#   bed.sh all            both
#   bed.sh measure        makes it, measures what the page takes and costs, and takes it away
#
# HIVEWALL_BIN names the program; HIVEWALL_BED a name, for several beds side by side.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
root="$here/../.."
bin="${HIVEWALL_BIN:-$root/target/debug/hivewall}"
bed="${HIVEWALL_BED:-hwweb}"
peer="$bed-peer"
dir="/tmp/$bed"

in_bed() { ip netns exec "$bed" "$@"; }

# wait_for NAME ADDRESS: until the agent answers, 60 s at most.
wait_for() {
    for _ in $(seq 120); do
        if in_bed curl -sf -o /dev/null "$2/api/v1/health"; then return; fi
        sleep 0.5
    done
    echo "the agent $1 does not answer at $2; see $dir/$1.log" >&2
    tail -5 "$dir/$1.log" >&2
    exit 1
}

# start NAME COMMAND…: in the background, in the bed.
start() {
    local name="$1"
    shift
    setsid ip netns exec "$bed" "$@" >"$dir/$name.log" 2>&1 </dev/null &
    echo $! >>"$dir/pids"
}

up() {
    down
    mkdir -p "$dir"
    chmod 755 "$dir"
    ip netns add "$bed"
    ip netns add "$peer"
    ip -n "$bed" link set lo up
    ip -n "$peer" link set lo up
    ip -n "$bed" link add lan0 type veth peer name lan0 netns "$peer"
    ip -n "$bed" addr add 10.55.0.1/24 dev lan0
    ip -n "$bed" -6 addr add fd00:55::1/64 dev lan0 nodad
    ip -n "$peer" addr add 10.55.0.2/24 dev lan0
    ip -n "$peer" addr add 10.55.0.9/24 dev lan0
    ip -n "$peer" -6 addr add fd00:55::2/64 dev lan0 nodad
    ip -n "$bed" link set lan0 up
    ip -n "$peer" link set lan0 up

    node "$here/capture.mjs" "$dir/flows.pcap" 100000
    cp "$here/bed-policy.yaml" "$dir/policy.yaml"
    start demo env HIVEWALL_TOKEN_FILE="$dir/demo-token" "$bin" demo --hosts 5 --api-listen 127.0.0.1:7801 --log-level warn
    start replay "$bin" replay "$dir/flows.pcap" --serve --detect=false --closed-keep 200000 --api-listen 127.0.0.1:7802 --log-level warn
    start host env HIVEWALL_TOKEN_FILE="$dir/token" "$bin" run --interface lan0 --name bed-host --api-listen 127.0.0.1:7803 \
        --history-directory "$dir/history" --alerts-directory "$dir/alerts" --policy-state "$dir/policy-state" \
        --policy-pins "" --fleet-directory "$dir/fleet" --subnet 10.55.0.0/24 --log-level info
    wait_for demo http://127.0.0.1:7801
    wait_for replay http://127.0.0.1:7802
    wait_for host http://127.0.0.1:7803
    # Somebody talks, somebody scans.
    setsid ip netns exec "$peer" python3 -m http.server 8080 --bind 10.55.0.2 --directory "$here" >/dev/null 2>&1 </dev/null &
    echo $! >>"$dir/pids"
    setsid ip netns exec "$bed" python3 -m http.server 8081 --directory "$here" >/dev/null 2>&1 </dev/null &
    echo $! >>"$dir/pids"
    setsid ip netns exec "$bed" bash -c 'for i in $(seq 3000); do curl -s -m 2 -o /dev/null -H "Host: intranet.example" http://10.55.0.2:8080/bed.sh; sleep 1; done' >/dev/null 2>&1 </dev/null &
    echo $! >>"$dir/pids"
    setsid ip netns exec "$peer" bash -c 'for i in $(seq 3000); do curl -s -m 2 -o /dev/null http://10.55.0.1:8081/capture.mjs; curl -gs -m 2 -o /dev/null "http://[fd00:55::1]:8081/"; sleep 2; done' >/dev/null 2>&1 </dev/null &
    echo $! >>"$dir/pids"
    # Names that would be markup, were they not text: of a host asked for by HTTP, and of a domain.
    cat >"$dir/names.py" <<'PY'
import http.client, socket, sys, time
MARKUP = '<img src=x onerror=window.pwned=1>'
label = MARKUP.encode()
query = b'\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00' + bytes([len(label)]) + label + b'\x07example\x00\x00\x01\x00\x01'
for _ in range(2000):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(query, ('10.55.0.2', 53))
    try:
        asked = http.client.HTTPConnection('10.55.0.2', 8080, timeout=2)
        asked.putrequest('GET', '/bed.sh', skip_host=True)
        asked.putheader('Host', MARKUP)
        asked.endheaders()
        asked.getresponse().read()
    except OSError:
        pass
    time.sleep(2)
PY
    setsid ip netns exec "$bed" python3 "$dir/names.py" >/dev/null 2>&1 </dev/null &
    echo $! >>"$dir/pids"
    HIVEWALL_TOKEN_FILE="$dir/token" in_bed "$bin" policy apply "$dir/policy.yaml" --host 127.0.0.1:7803 >/dev/null
    ip netns exec "$peer" nmap -n -Pn -sS -S 10.55.0.9 -e lan0 -p 1-300 --max-rate 400 10.55.0.1 >/dev/null
}

down() {
    if [ -f "$dir/pids" ]; then
        while read -r pid; do kill -- "-$pid" 2>/dev/null || true; done <"$dir/pids"
        sleep 1
    fi
    ip netns del "$bed" 2>/dev/null || true
    ip netns del "$peer" 2>/dev/null || true
    rm -rf "$dir"
}

browse() {
    (cd "$here/.." && in_bed env HIVEWALL_BED_DIR="$dir" npx playwright test "$@")
}

# ask_everything NAME ADDRESS TOKEN: no answer is a fault of the server or undocumented, and none comes without rights.
ask_everything() {
    echo "== the API of the agent $1"
    # No faster than the agent lets one address ask: what is refused for that is not asked.
    # Of what is left out, the stream has no end, and without a fleet nothing more could be asked of one.
    in_bed "${HIVEWALL_SCHEMATHESIS:-$root/target/schemathesis/bin/schemathesis}" --no-color run "$2/api/v1/openapi.json" \
        --header "Authorization: Bearer $(cat "$3")" --phases examples,coverage,fuzzing --max-examples 5 --seed 1 --rate-limit 150/s \
        --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,ignored_auth \
        --exclude-path /api/v1/flows/live --exclude-path /api/v1/fleet/leave \
        --continue-on-failure --request-timeout 30 --warnings off
}

api() {
    ask_everything demo http://127.0.0.1:7801 "$dir/demo-token"
    ask_everything host http://127.0.0.1:7803 "$dir/token"
}

case "${1:-}" in
up) up ;;
down) down ;;
in)
    shift
    in_bed "$@"
    ;;
test)
    shift
    trap down EXIT
    up
    browse "$@"
    ;;
api)
    trap down EXIT
    up
    api
    ;;
measure)
    trap down EXIT
    up
    (cd "$here/.." && HIVEWALL_PEER="$peer" in_bed node tests/measure.mjs)
    ;;
all)
    trap down EXIT
    up
    browse
    api
    ;;
*)
    sed -n '2,17p' "$0" >&2
    exit 2
    ;;
esac
