#!/usr/bin/env python3
"""What a request touches: instructions, and distinct cache lines and pages of code and data.

    benches/load/lines.py --gateway BINARY [--gateway OTHER ...] [--bursts 6] [--connections 20] [--json FILE]

A gateway that sleeps finds its caches full of others' data when the next request comes, and each line that it then
touches costs as much as a hundred instructions. Which lines these are does not depend on the machine's mood: the
proxies run in valgrind's lackey here, which tells every access, and get one request on each of some connections at
the same time, again and again, with a pause before each burst. Told are medians over the bursts, of a whole burst.
What the kernel does is not in them, so neither are lines of buffers that only the kernel reads and writes.

Loopback only, Python's standard library only; needs valgrind and nginx. Ends by itself after half an hour.
"""
import argparse, fcntl, json, os, socket, statistics, subprocess, sys, tempfile, threading, time

import run

LINE, PAGE = 64, 4096
BODY = b"x" * 1024
FIELDS = b"Host: 127.0.0.1\r\nUser-Agent: lines\r\nAccept: */*\r\n"
REQUESTS = {"GET 1 KiB": b"GET /1k HTTP/1.1\r\n" + FIELDS + b"\r\n",
            "POST 1 KiB": b"POST /p HTTP/1.1\r\n" + FIELDS + b"Content-Type: text/plain\r\nContent-Length: 1024\r\n\r\n" + BODY}
QUIET = .7
FIGURES = ["instructions", "code lines", "code pages", "data lines", "data pages"]


class Trace(threading.Thread):
    """Reads what lackey tells; keeps it only while it is asked to, as a start is some gigabytes."""

    def __init__(self, source):
        super().__init__(daemon=True)
        self.source, self.kept, self.keeps, self.last = source, [], False, time.monotonic()
        self.start()

    def run(self):
        while piece := os.read(self.source, 1 << 20):
            self.last = time.monotonic()
            if self.keeps:
                self.kept.append(piece)

    def settle(self):
        """Waits until nothing was told for a while."""
        while time.monotonic() - self.last < QUIET:
            time.sleep(.05)

    def take(self):
        self.keeps, kept, self.kept = False, b"".join(self.kept), []
        return kept


def count(told):
    """Figures of one burst."""
    instructions, lines = 0, {True: set(), False: set()}
    for access in told.split(b"\n"):
        # "I  04001a2b,3" for an instruction, " L", " S" and " M" for data.
        code = access[:1] == b"I"
        if not code and access[:1] != b" " or access[2:3] != b" ":
            continue
        address, _, size = access[3:].partition(b",")
        try:
            first, last = int(address, 16) // LINE, (int(address, 16) + int(size) - 1) // LINE
        except ValueError:
            continue  # cut off
        instructions += code
        lines[code].update((first, last))
    pages = lambda of: len({line * LINE // PAGE for line in of})
    return instructions, len(lines[True]), pages(lines[True]), len(lines[False]), pages(lines[False])


def connected(port, process):
    """A connection, once somebody listens: that takes minutes."""
    end = time.monotonic() + 400
    while time.monotonic() < end and process.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=60)
        except ConnectionRefusedError:
            time.sleep(.2)
    raise RuntimeError("it did not start")


def burst(connections, request):
    for connection in connections:
        connection.sendall(request)
    for connection in connections:
        came = b""
        while b"\r\n\r\n" not in came or len(came.partition(b"\r\n\r\n")[2]) < len(BODY):
            piece = connection.recv(1 << 16)
            if not piece:
                raise RuntimeError(f"cut off: {came[:200]}")
            came += piece
        if not came.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"refused: {came[:200]}")


def measure(folder, name, make, up, options, samples):
    port = run.free_port()
    own = tempfile.mkdtemp(prefix="peer-", dir=folder)
    os.chmod(own, 0o755)
    command, env = make(own, port, up)
    source, sink = os.pipe()
    fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, 1 << 20)
    os.set_inheritable(sink, True)
    log = open(os.path.join(own, "log"), "ab")
    process = subprocess.Popen(["valgrind", "--tool=lackey", "--trace-mem=yes", f"--log-fd={sink}", *command], cwd=own,
                               env={**os.environ, "PATH": run.PATH, **env}, stdin=subprocess.DEVNULL, stdout=log,
                               stderr=log, pass_fds=[sink], start_new_session=True)
    run.started.append(process)
    os.close(sink)
    trace = Trace(source)
    try:
        connections = [connected(port, process)]
        connections += [connected(port, process) for _ in range(options.connections - 1)]
        for title, request in REQUESTS.items():
            for turn in range(options.bursts + 2):
                trace.settle()
                trace.keeps = True
                burst(connections, request)
                trace.settle()
                told = trace.take()
                # The first ones make connections to the backend, and memory.
                if turn >= 2:
                    samples.setdefault((title, name), []).append(count(told))
            print(f"{name}: {title}", file=sys.stderr)
        for connection in connections:
            connection.close()
    finally:
        run.end(process)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", type=os.path.abspath, action="append", required=True, help="a gateway's binary")
    parser.add_argument("--template", default=os.path.join(run.HERE, "gateway.tmpl.json"))
    parser.add_argument("--bursts", type=int, default=6)
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--json", help="write all samples here")
    options = parser.parse_args()
    run.needs("nginx", "valgrind")
    run.ends_within(1800)

    def nginx(own, port, up):
        command, env = run.start_nginx(own, port, up, None)
        return [*command, "-g", "master_process off;"], env

    def gateway(binary, policies):
        return lambda own, port, up: run.start_gateway(own, port, up, argparse.Namespace(
            template=options.template, arguments="--threads 1 --metrics off", gateway=binary, policies=policies))
    peers = {"nginx": nginx}
    for number, binary in enumerate(options.gateway, 1):
        name = "gateway" if len(options.gateway) == 1 else f"gateway {number}"
        peers.update({name: gateway(binary, False), f"{name}, policies": gateway(binary, True)})
    samples = {}
    with tempfile.TemporaryDirectory(prefix="lines-") as folder:
        os.chmod(folder, 0o755)
        up = run.free_port()
        try:
            run.await_200(up, run.start_upstream(folder + "/upstream", up), folder + "/upstream")
            for name, make in peers.items():
                measure(folder, name, make, f"127.0.0.1:{up}", options, samples)
        finally:
            for process in list(run.started):
                run.end(process)
    print(f"bursts of {options.connections} requests\n")
    for title in REQUESTS:
        print(f"{title:24}" + "".join(f"{figure:>14}" for figure in FIGURES))
        for name in peers:
            medians = map(statistics.median, zip(*samples[title, name]))
            print(f"  {name:22}" + "".join(f"{median:14.0f}" for median in medians))
        print()
    if options.json:
        json.dump({f"{name}: {title}": values for (title, name), values in samples.items()}, open(options.json, "w"), indent=1)


if __name__ == "__main__":
    main()
