#!/usr/bin/env python3
"""What backends that misbehave cost the requests to those that do not.

    make bench-load-chaos
    benches/load/chaos.py --gateway BINARY [--secs 6] [--json FILE]

One gateway with half of the load that it can carry (measured first). For each kind of misbehaviour two backends are
called at the same time: `alone`, whose only host misbehaves, and `pool`, which has that host and two good ones; beside
them `good`, which has nothing to do with it. In the middle of the window the host behaves again.

Told for each kind: how many requests to `good` failed (must be none), how many to `pool` failed, how many to `alone`
were answered with something else than an error that fits (must be none), how slow `good` was, and how long after its
return the host got calls again, and `alone` was served again: one probe interval plus the time that the breaker was
to stay open at most.

Load, backends and gateway are three processes. Loopback only, Python's standard library only, and over after five
minutes.
"""
import argparse, asyncio, json, multiprocessing, os, signal, socket, statistics, struct, subprocess, sys, tempfile
import time

INTERVAL = 0.5
OPEN = 1
LIMIT = 300
KINDS = ["refuses", "hangs", "resets", "garbage", "errors", "flaps"]
GOOD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Host:
    """A backend's host that can be told how to behave."""

    def __init__(self, kind="good"):
        self.kind, self.calls, self.last, self.server, self.port = kind, 0, 0.0, None, free()
        self.first_after, self.back = None, None

    async def start(self):
        if self.kind != "refuses":
            await self.listen()
        return self

    async def listen(self):
        if self.server is None:
            self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port, backlog=1024)

    async def behave(self):
        self.kind, self.back = "good", time.perf_counter()
        await self.listen()

    def mood(self):
        if self.kind != "flaps":
            return self.kind
        return "resets" if int(time.perf_counter() / 0.3) % 2 else "good"

    async def serve(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                probe = b" /health " in head.split(b"\r\n", 1)[0]
                if not probe:
                    self.calls += 1
                    if self.back and self.first_after is None:
                        self.first_after = time.perf_counter() - self.back
                mood = self.mood()
                if mood == "good":
                    writer.write(GOOD)
                elif mood == "hangs":
                    await asyncio.sleep(30)
                    return
                elif mood == "resets":
                    raw = writer.get_extra_info("socket")
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                elif mood == "garbage":
                    writer.write(b"\x16\x03\x01 nonsense\r\n\r\n")
                    return
                elif mood == "errors":
                    writer.write(b"HTTP/1.1 500 Oh no\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            pass
        finally:
            writer.close()


def free():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def backends(pipe):
    """The process of all hosts: tells their ports, then lets one behave and tells when it was called, as asked."""

    async def main():
        hosts = {"good": [await Host().start(), await Host().start()]}
        for kind in KINDS:
            hosts[kind] = [await Host(kind).start(), await Host().start(), await Host().start()]
        pipe.send({kind: [host.port for host in group] for kind, group in hosts.items()})
        asked = asyncio.Queue()
        asyncio.get_running_loop().add_reader(pipe.fileno(), lambda: asked.put_nowait(pipe.recv()))
        while (command := await asked.get()) is not None:
            word, kind = command
            if word == "behave":
                await hosts[kind][0].behave()
            else:
                pipe.send(hosts[kind][0].first_after)

    signal.alarm(LIMIT)
    try:
        asyncio.run(main())
    except (EOFError, KeyboardInterrupt):
        pass


def config(port, hosts):
    """`/good`, and for each kind `/KIND/alone` and `/KIND/pool`, streaming."""
    health = {"interval": f"{int(INTERVAL * 1000)}ms", "timeout": "200ms", "path": "/health", "unhealthy_after": 1}
    breaker = {"interval": 60, "timeout": OPEN, "max_errors": 5, "name": "chaos"}

    def endpoint(path, ports):
        return {"endpoint": path, "output_encoding": "no-op", "timeout": "500ms", "backend": [{
            "url_pattern": "/up", "host": [f"http://127.0.0.1:{port}" for port in ports],
            "extra_config": {
                "qos/circuit-breaker": breaker,
                "hanzo/balance": {"method": "round_robin", "slow_start": "1s"},
                "hanzo/retry": {"tries": 3, "try_timeout": "150ms", "statuses": [500], "back_off": "5ms"}}}]}

    endpoints = [endpoint("/good", hosts["good"])]
    for kind in KINDS:
        bad, *others = hosts[kind]
        endpoints += [endpoint(f"/{kind}/alone", [bad]), endpoint(f"/{kind}/pool", [bad, *others])]
    return {"version": 3, "port": port, "extra_config": {
        "hanzo/health": health, "telemetry/logging": {"level": "CRITICAL"}}, "endpoints": endpoints}


class Client:
    """Requests on connections that stay, counted."""

    def __init__(self, port, path):
        self.port, self.path = port, path
        self.idle, self.statuses, self.times, self.log = [], {}, [], []

    async def once(self):
        began, status = time.perf_counter(), 0
        try:
            reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(f"GET {self.path} HTTP/1.1\r\nHost: gw\r\n\r\n".encode())
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            status = int(head.split(b" ", 2)[1])
            lines = head.lower().split(b"\r\n")
            length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))
            await reader.readexactly(length)
            if b"connection: close" in lines:
                writer.close()
            else:
                self.idle.append((reader, writer))
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError, StopIteration, ValueError):
            pass
        now = time.perf_counter()
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.times.append(now - began)
        self.log.append((now, status))

    async def at(self, rate, secs):
        """So many a second, whatever becomes of them."""
        begin, running, sent = time.perf_counter(), set(), 0
        while (passed := time.perf_counter() - begin) < secs:
            while sent < passed * rate:
                task = asyncio.ensure_future(self.once())
                running.add(task)
                task.add_done_callback(running.discard)
                sent += 1
            await asyncio.sleep(0.002)
        await asyncio.gather(*running)

    def failed(self):
        return sum(count for status, count in self.statuses.items() if status != 200)


async def capacity(port):
    """Requests a second that 16 connections get through, load and gateway on the same machine."""
    client = Client(port, "/good")
    until = time.perf_counter() + 1.5

    async def one():
        while time.perf_counter() < until:
            await client.once()

    await asyncio.gather(*(one() for _ in range(16)))
    return len(client.times) / 1.5


async def play(port, kind, pipe, rate, secs):
    good, pool, alone = (Client(port, path) for path in ("/good", f"/{kind}/pool", f"/{kind}/alone"))

    turned = time.perf_counter() + secs / 2

    async def turn():
        await asyncio.sleep(secs / 2)
        pipe.send(("behave", kind))

    await asyncio.gather(good.at(rate * 0.6, secs), pool.at(rate * 0.3, secs), alone.at(rate * 0.1, secs), turn())
    fits = {200, 500, 502, 503, 504}
    served = [at - turned for at, status in alone.log if at > turned and status == 200]
    pipe.send(("called", kind))
    return {
        "kind": kind, "requests": len(good.times), "good_failed": good.failed(),
        "pool": len(pool.times), "pool_failed": pool.failed(),
        "alone": len(alone.times), "alone_odd": sum(n for s, n in alone.statuses.items() if s not in fits),
        "p99_ms": statistics.quantiles(good.times, n=100)[98] * 1000,
        "host_back_s": pipe.recv(), "alone_back_s": min(served, default=None),
    }


async def run(options):
    pipe, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=backends, args=(theirs,), daemon=True)
    process.start()
    hosts = pipe.recv()
    port, folder = free(), tempfile.mkdtemp()
    path = os.path.join(folder, "gateway.json")
    with open(path, "w") as file:
        json.dump(config(port, hosts), file)
    command = [options.gateway, "run", "-c", path, "--metrics", "off"]
    gateway = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        await listening(port, gateway)
        most = await capacity(port)
        rate = min(most / 2, options.rate)
        print(f"{most:.0f} requests/s at most with this client; {rate:.0f}/s from here on, {options.secs}s for each kind")
        # Half a window for the probes to look at everybody.
        await asyncio.sleep(2 * INTERVAL)
        row = "{:<9}{:>10}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>11}{:>12}"
        print(row.format("host", "to good", "failed", "p99 ms", "to pool", "failed", "alone", "odd", "host back", "alone back"))
        rows = []
        for kind in KINDS:
            found = await play(port, kind, pipe, rate, options.secs)
            rows.append(found)
            back = ["never" if found[key] is None else f"{found[key]:.2f}s" for key in ("host_back_s", "alone_back_s")]
            print(row.format(kind, found["requests"], found["good_failed"], f"{found['p99_ms']:.1f}", found["pool"],
                             found["pool_failed"], found["alone"], found["alone_odd"], *back), flush=True)
        if options.json:
            with open(options.json, "w") as file:
                json.dump(rows, file, indent=1)
        slack = 0.5
        good = all(row["good_failed"] == 0 and row["alone_odd"] == 0 for row in rows)
        back = all(row["alone_back_s"] is not None and row["alone_back_s"] <= INTERVAL + OPEN + slack for row in rows)
        print("no request to a healthy backend failed" if good else "REQUESTS TO A HEALTHY BACKEND FAILED")
        print("every backend came back in time" if back else "A BACKEND CAME BACK LATE")
        return 0 if good and back else 1
    finally:
        gateway.send_signal(signal.SIGTERM)
        try:
            gateway.wait(5)
        except subprocess.TimeoutExpired:
            gateway.kill()
        pipe.send(None)
        process.join(5)


async def listening(port, gateway):
    for _ in range(500):
        if gateway.poll() is not None:
            sys.exit(gateway.stderr.read().decode())
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        except OSError:
            await asyncio.sleep(0.02)
    sys.exit("the gateway does not listen")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", required=True)
    parser.add_argument("--secs", type=float, default=6)
    parser.add_argument("--rate", type=float, default=800, help="at most so many requests a second")
    parser.add_argument("--json")
    options = parser.parse_args()
    signal.alarm(LIMIT)
    sys.exit(asyncio.run(run(options)))


if __name__ == "__main__":
    main()
