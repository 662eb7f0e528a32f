#!/usr/bin/env python3
"""What idle connections cost in memory: each has made one request and then stays open.

    make bench-load-idle
    benches/load/idle.py --gateway BINARY [--template FILE] [--connections 10000] [--goal 60]

VmRSS and PSS of the gateway are read when it has answered its first requests, when all connections are
open and have had their answer, and again a few seconds later, when what could be given back has been.
The client uses several loopback addresses, so that neither its ports nor the cap of one address is the
limit. The soft limit of open files is raised to the hard one; what does not fit under it is told.

Loopback only, Python's standard library only; ends by itself after two minutes.
"""
import argparse, json, os, re, resource, selectors, socket, sys, tempfile, time

import run

REQUEST = b"GET /1k HTTP/1.1\r\nHost: bench\r\nAccept: */*\r\n\r\n"
PER_ADDRESS = 5000
AT_ONCE = 250


def raise_limit(wanted):
    """Raises the limit of open files; the number of connections that fit."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for limit in (max(hard, wanted + 500), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            break
        except (ValueError, OSError):
            continue
    room = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 500
    if room < wanted:
        print(f"only {room} connections: the limit of open files is {room + 500}", file=sys.stderr)
    return min(room, wanted)


def resident(pid):
    """VmRSS and PSS in MiB."""
    status = open(f"/proc/{pid}/status").read()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024, run.memory(pid)


def connect(number, port, receive=None):
    """A connection from one of several loopback addresses."""
    one = socket.socket()
    if receive:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind((f"127.0.1.{1 + number // PER_ADDRESS}", 0))
    one.settimeout(10)
    one.connect(("127.0.0.1", port))
    return one


def whole(got):
    """Whether an answer with a declared length has come to its end."""
    end = got.find(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: *(\d+)", got[:end + 2].lower()) if end >= 0 else None
    return bool(length) and len(got) >= end + 4 + int(length[1])


def used_once(port, count, first):
    """Connections that have each had one answer."""
    ready, waiting, got = selectors.DefaultSelector(), [], {}
    for number in range(first, first + count):
        one = connect(number, port)
        one.sendall(REQUEST)
        ready.register(one, selectors.EVENT_READ)
        got[one] = b""
        waiting.append(one)
    left, until = count, time.monotonic() + 20
    while left and time.monotonic() < until:
        for key, _ in ready.select(1):
            piece = key.fileobj.recv(1 << 16)
            got[key.fileobj] += piece
            if not piece or whole(got[key.fileobj]):
                ready.unregister(key.fileobj)
                left -= 1
    ready.close()
    good = sum(answer.startswith(b"HTTP/1.1 200") for answer in got.values())
    return waiting, good


def start(options, folder):
    """An upstream and the gateway in front of it; process and port."""
    up, port = run.free_port(), run.free_port()
    run.await_200(up, run.start_upstream(folder + "/upstream", up), folder + "/upstream")
    place = folder + "/gateway"
    os.makedirs(place)
    if options.template:
        command, _ = run.start_gateway(place, port, f"127.0.0.1:{up}", options)
    else:
        endpoints = [{"endpoint": path, "output_encoding": "no-op", "timeout": "10s",
                      "backend": [{"url_pattern": path, "encoding": "no-op", "host": [f"http://127.0.0.1:{up}"]}]} for path in ("/1k", "/1m")]
        json.dump({"version": 3, "port": port, "listen_ip": "127.0.0.1", "endpoints": endpoints,
                   "extra_config": {"telemetry/logging": {"level": "INFO", "stdout": True}}}, open(place + "/gateway.json", "w"))
        command = [options.gateway, "run", "-c", place + "/gateway.json", "--metrics", "off"]
    process = run.spawn(command, run.PROXY, place, {"PATH": run.PATH})
    run.await_200(port, process, place)
    return process, port


def tell(title, pid, since=None):
    rss, pss = resident(pid)
    more = f"   {(rss - since[0]) * 1024 / since[2]:.2f} KiB each" if since else ""
    print(f"  {title:34} VmRSS {rss:7.1f} MiB   PSS {pss:7.1f} MiB{more}")
    return rss, pss


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", type=os.path.abspath, required=True, help="the gateway's binary")
    parser.add_argument("--arguments", default="", help="further arguments of `run`")
    parser.add_argument("--template", help="a configuration as gateway.tmpl.json; one endpoint without it")
    parser.add_argument("--connections", type=int, default=10000)
    parser.add_argument("--goal", type=float, default=60, help="MiB in all, above which the exit status is 1")
    options = parser.parse_args()
    run.ends_within(120)
    wanted = raise_limit(options.connections)
    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        os.chmod(folder, 0o755)
        try:
            process, port = start(options, folder)
            kept, good = used_once(port, 50, 0)
            for one in kept:
                one.close()
            time.sleep(.5)
            print(f"{wanted} idle connections, each of which has had an answer")
            before = tell("before", process.pid)
            kept, good = [], 0
            while len(kept) < wanted:
                more, fine = used_once(port, min(AT_ONCE, wanted - len(kept)), len(kept))
                kept, good = kept + more, good + fine
            since = (*before, max(1, len(kept)))
            tell("all open", process.pid, since)
            time.sleep(5)
            rss, pss = tell("5 s later", process.pid, since)
            print(f"  {good} answers of 200, goal {options.goal:.0f} MiB: {'reached' if max(rss, pss) <= options.goal else 'missed'}")
        finally:
            for one in list(run.started):
                run.end(one)
    sys.exit(0 if good == wanted and max(rss, pss) <= options.goal else 1)


if __name__ == "__main__":
    main()
