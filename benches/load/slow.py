#!/usr/bin/env python3
"""What slow readers cost: thousands of clients that ask for 1 MB and read a few bytes a second, and what
another client notices of them.

    make bench-load-slow
    benches/load/slow.py --gateway BINARY [--template FILE] [--connections 5000] [--goal 400]

A quiet client asks for 1 KiB two hundred times a second, first alone, then beside the slow ones, and tells
p50 and p99 of its times. The slow ones have receive buffers as small as the system makes them, so that
the answers stay where they are: in the gateway and in the sockets. VmRSS and PSS of the gateway are read
before and while they wait; what the kernel holds is not in them, and told from /proc/net/sockstat.

Loopback only, Python's standard library only; ends by itself after three minutes.
"""
import argparse, http.client, os, re, sys, tempfile, threading, time

import run
from idle import connect, raise_limit, start, tell

REQUEST = b"GET /1m HTTP/1.1\r\nHost: bench\r\nAccept: */*\r\n\r\n"
RECEIVE = 4096
BITE = 16


def quiet(port, secs, rate=200):
    """p50 and p99 in microseconds of a client that asks at a fixed rate."""
    connection, times, errors = http.client.HTTPConnection("127.0.0.1", port, timeout=10), [], 0
    begin = time.perf_counter()
    for number in range(int(secs * rate)):
        time.sleep(max(0, begin + number / rate - time.perf_counter()))
        asked = time.perf_counter()
        connection.request("GET", "/1k")
        answer = connection.getresponse()
        errors += answer.status != 200 or len(answer.read()) != 1024
        times.append(time.perf_counter() - asked)
    connection.close()
    return run.summary(times, errors)


class Slow(threading.Thread):
    """Readers that take a few bytes each second until told to stop."""

    def __init__(self, readers):
        super().__init__(daemon=True)
        self.readers, self.stop, self.gone, self.taken = readers, threading.Event(), 0, 0

    def run(self):
        while not self.stop.wait(.05):
            begin = time.monotonic()
            for number, one in enumerate(self.readers):
                if number % 250 == 0:
                    self.stop.wait(.01)
                try:
                    piece = one.recv(BITE)
                    self.taken += len(piece)
                    self.gone += not piece
                except BlockingIOError:
                    pass
                except OSError:
                    self.gone += 1
            self.stop.wait(max(0, begin + 1 - time.monotonic()))


def ask(port, count):
    """The slow ones, each with its request on the way; opened in steps, as the listener's queue is short."""
    readers = []
    for number in range(count):
        one = connect(number, port, RECEIVE)
        one.sendall(REQUEST)
        one.setblocking(False)
        readers.append(one)
        if number % 100 == 99:
            time.sleep(.05)
    return readers


def kernel():
    """MiB in all TCP buffers of the machine."""
    pages = int(re.search(r"^TCP:.* mem (\d+)", open("/proc/net/sockstat").read(), re.M)[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1048576


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", type=os.path.abspath, required=True, help="the gateway's binary")
    parser.add_argument("--arguments", default="", help="further arguments of `run`")
    parser.add_argument("--template", help="a configuration as gateway.tmpl.json; two endpoints without it")
    parser.add_argument("--connections", type=int, default=5000)
    parser.add_argument("--secs", type=int, default=10, help="how long the quiet client asks, each time")
    parser.add_argument("--goal", type=float, default=400, help="MiB, above which the exit status is 1")
    options = parser.parse_args()
    run.ends_within(180)
    # The gateway has two sockets for each, and inherits the limit.
    wanted = raise_limit(2 * options.connections) // 2
    run.FILES["/1m"] = b"z" * 1000000
    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        os.chmod(folder, 0o755)
        try:
            process, port = start(options, folder)
            quiet(port, 1)
            alone = quiet(port, options.secs)
            print(f"{wanted} readers of {BITE} bytes a second of 1 MB each")
            before, outside = tell("before", process.pid), kernel()
            slow = Slow(ask(port, wanted))
            slow.start()
            time.sleep(3)
            since = (*before, wanted)
            tell("all wait", process.pid, since)
            cpu = run.cpu(process.pid)
            beside = quiet(port, options.secs)
            cpu = (run.cpu(process.pid) - cpu) / 1e4 / options.secs
            rss, pss = tell(f"{options.secs} s later", process.pid, since)
            held, gone = kernel() - outside, slow.gone
            slow.stop.set()
            slow.join(5)
        finally:
            for one in list(run.started):
                run.end(one)
    print(f"  {slow.taken} bytes read, {gone} readers cut off; the kernel holds {held:.0f} MiB more; CPU {cpu:.1f} %")
    for name, times in (("alone", alone), ("beside them", beside)):
        print(f"  quiet client {name:14} p50 {times['p50']:6.0f} µs   p99 {times['p99']:6.0f} µs   {times['errors']} errors of {times['n']}")
    print(f"  goal {options.goal:.0f} MiB: {'reached' if max(rss, pss) <= options.goal else 'missed'}")
    sys.exit(0 if max(rss, pss) <= options.goal and not gone and not beside["errors"] else 1)


if __name__ == "__main__":
    main()
