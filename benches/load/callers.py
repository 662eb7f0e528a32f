#!/usr/bin/env python3
"""What callers cost in memory: one limit, and so many different callers of it that each come once.

    make bench-load-callers
    benches/load/callers.py --gateway BINARY [--callers 1000000] [--goal 100]

A real gateway is asked by callers that are told apart by a header field, over a few connections that stay, many requests in
one write. The bucket of each fills so slowly that nobody may be forgotten meanwhile. The resident memory is read when the
gateway has answered a few, after `--callers` of them, and after as many again: the table is bounded, so the second
million must cost next to nothing. Somebody who had used up all of his before the crowd came must be refused after it
still: room is never made by forgiving. The whole is played without a store and with one (redis-server, whose own memory
is told beside).

Loopback only, Python's standard library only; ends by itself after four minutes.
"""
import argparse, os, re, signal, socket, subprocess, sys, tempfile, threading, time

import shared

LINKS, BATCH, BURST = 4, 200, 5
LIMIT = 240


def resident(pid):
    """VmRSS in MB of a million bytes."""
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) * 1024 / 1e6


class Gateway(shared.Gateway):
    """One that need not have a store."""

    def ready(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return not self.stored or self.metric("rate_limit_store_up") == 1

    def __init__(self, binary, config, stored):
        self.stored = stored
        super().__init__(binary, config)


def config(store):
    each = {"client_max_rate": 1, "every": "24h", "client_capacity": BURST, "strategy": "header", "key": "X-Caller"}
    extra = {"router": {"disable_access_log": True}, "qos/ratelimit/service": each}
    if store:
        pools = [{"name": "bench", "address": f"127.0.0.1:{store.port}"}]
        extra = {"router": extra["router"], "redis": {"connection_pools": pools},
                 "qos/ratelimit/service/redis": {"connection_name": "bench", **each}}
    return {"extra_config": extra,
            "endpoints": [{"endpoint": "/a", "backend": [{"url_pattern": "/", "host": ["http://127.0.0.1:9999"]}]}]}


def ask(port, names):
    """The statuses of one request for each name, in order: 404 for who passes, as there is nothing there."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        return list(statuses(link, iter(names)))


def statuses(link, names):
    """Asks in batches; who passes gets 404."""
    rest = b""
    while batch := [name for _, name in zip(range(BATCH), names)]:
        link.sendall(b"".join(b"GET /nowhere HTTP/1.1\r\nHost: b\r\nX-Caller: %s\r\n\r\n" % name for name in batch))
        got, answered = [rest], 0
        while answered < len(batch):
            piece = link.recv(1 << 18)
            if not piece:
                raise OSError("the gateway closed a connection")
            whole = rest + piece
            # A head that was cut in two is counted with its second half.
            found = list(re.finditer(rb"HTTP/1\.1 (\d\d\d) ", whole))
            answered += len(found)
            yield from (int(one[1]) for one in found)
            rest = whole[found[-1].end():][-12:] if found else whole[-12:]
        rest = b""
        # The last body may be under way still; it holds no status line, and the next answers come after it.


def crowd(port, first, count):
    """So many callers, each once; how many passed."""
    passed, failed = [0] * LINKS, []

    def one(number):
        names = (b"%d" % name for name in range(first + number, first + count, LINKS))
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
                passed[number] = sum(status == 404 for status in statuses(link, names))
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(LINKS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        sys.exit(f"a connection failed: {failed[0]}")
    return sum(passed)


def play(options, store):
    print("with a store" if store else "without a store")
    gateway = Gateway(options.gateway, config(store), store is not None)
    pid, port = gateway.process.pid, gateway.port
    try:
        busy = ask(port, [b"busy"] * (BURST + 1))
        ask(port, [b"warm-%d" % n for n in range(2000)])
        time.sleep(1)
        before, good = resident(pid), busy == [404] * BURST + [429]
        print(f"  {'before':34} {before:7.1f} MB   who asked {BURST + 1} times got {busy[0]} … {busy[-1]}")
        grown = []
        for half in range(2):
            began = time.monotonic()
            passed = crowd(port, half * options.callers, options.callers)
            took = time.monotonic() - began
            highest = resident(pid)
            time.sleep(5)
            now = resident(pid)
            grown.append(max(highest, now) - before)
            with_store = f"   the store {resident(store.process.pid):6.1f} MB" if store else ""
            print(f"  {f'after {(half + 1) * options.callers:,} callers':34} {highest:7.1f} MB   5 s later {now:7.1f} MB   "
                  f"+{grown[-1]:.1f} MB   {passed:,} passed, {options.callers / took:,.0f}/s{with_store}")
            again = ask(port, [b"busy"])
            good &= again == [429]
            print(f"  {'':34} who had used up all is told {again[0]}")
        first = grown[0] <= options.goal
        bounded = grown[1] <= grown[0] * 1.25 + 10
        print(f"  goal {options.goal:.0f} MB for the first {options.callers:,}: {'reached' if first else 'missed'}; "
              f"as many again: {'bounded' if bounded else 'NOT BOUNDED'}; the busy one was {'never' if good else 'ONCE'} forgiven")
        return first and bounded and good
    finally:
        gateway.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", type=os.path.abspath, required=True)
    parser.add_argument("--callers", type=int, default=1_000_000)
    parser.add_argument("--goal", type=float, default=100, help="MB more, above which the exit status is 1")
    options = parser.parse_args()
    signal.alarm(LIMIT)
    good = play(options, None)
    store = shared.Store()
    try:
        good &= play(options, store)
    finally:
        store.end()
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
