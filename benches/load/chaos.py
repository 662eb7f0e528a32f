#!/usr/bin/env python3
"""What backends that misbehave cost the requests to those that do not.

    make bench-load-chaos
    benches/load/chaos.py --gateway BINARY [--secs 6] [--json FILE]

One gateway with half of the load that it can carry (measured first, with wrk where it is installed, which shares the machine
with it). For each kind of misbehaviour two backends are called at the same time: `alone`, whose only host misbehaves, and
`pool`, which has that host and two good ones; beside them `good`, which has nothing to do with it. In the middle of the
window the host behaves again.

Told for each kind: how many requests to `good` failed (must be none), how many to `pool` failed, how many to `alone`
were answered with something else than an error that fits (must be none), how slow `good` was, and how long after its
return the host got calls again, and `alone` was served again: one probe interval plus the time that the breaker was
to stay open at most.

Requests come at their rate, whatever becomes of those before them; the load is a process for each path, on raw sockets. Hosts
that are good are nginx's where it is installed, the others a Python process. Loopback only, Python's standard library
only, and over after five minutes.
"""
import argparse, asyncio, json, multiprocessing, os, re, select, shutil, signal, socket, statistics, struct, subprocess
import sys, tempfile, time

INTERVAL = 0.5
OPEN = 1
LIMIT = 300
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
CONNECTIONS = 256
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


class Good:
    """Hosts that always behave: one nginx on many ports."""

    def __init__(self, count):
        self.folder, self.ports, self.process = tempfile.mkdtemp(), [free() for _ in range(count)], None
        listen = " ".join(f"listen 127.0.0.1:{port};" for port in self.ports)
        file = os.path.join(self.folder, "nginx.conf")
        with open(file, "w") as out:
            out.write(f"""worker_processes 1; daemon off; pid {self.folder}/pid; error_log /dev/null;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 100000000; default_type application/json;
  server {{ {listen} location / {{ return 200 "{{}}"; }} }} }}""")
        self.process = subprocess.Popen([shutil.which("nginx", path=PATH), "-p", self.folder, "-c", file],
                                        stderr=subprocess.DEVNULL)

    def end(self):
        self.process.terminate()
        self.process.wait()


def backends(pipe, good):
    """The process of all hosts: tells their ports, then lets one behave and tells when it was called, as asked."""

    async def fine():
        return good.pop() if good else (await Host().start()).port

    async def main():
        hosts, ports = {}, {"good": [await fine(), await fine()]}
        for kind in KINDS:
            hosts[kind] = [await Host(kind).start()]
            ports[kind] = [hosts[kind][0].port, await fine(), await fine()]
        pipe.send(ports)
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
    """Requests to one path on connections that stay, so many a second whatever becomes of them."""

    def __init__(self, port, path):
        self.port, self.request = port, f"GET {path} HTTP/1.1\r\nHost: gw\r\n\r\n".encode()
        self.idle, self.busy, self.late = [], {}, 0
        self.poll = select.epoll()
        self.statuses, self.times, self.served = {}, [], None

    def send(self, now):
        if not self.idle and len(self.busy) >= CONNECTIONS:
            self.late += 1
            return False
        try:
            one = self.idle.pop() if self.idle else self.connect()
            self.busy[one.fileno()] = [one, now, b""]
            one.send(self.request)
        except OSError:
            self.note(0, now, now)
        return True

    def connect(self):
        one = socket.create_connection(("127.0.0.1", self.port), timeout=2)
        one.setblocking(False)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.poll.register(one, select.EPOLLIN)
        return one

    def note(self, status, began, now):
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.times.append(now - began)
        if status == 200 and self.served is None and now > self.turned:
            self.served = now - self.turned

    def receive(self, wait):
        for number, _ in self.poll.poll(wait):
            one, began, got = self.busy.get(number, (None, 0, b""))
            if one is None:
                # Nobody waits for it: an idle connection ended.
                self.idle = [other for other in self.idle if other.fileno() != number or other.close()]
                continue
            try:
                piece = one.recv(65536)
            except OSError:
                piece = b""
            got += piece
            end = got.find(b"\r\n\r\n")
            length = re.search(rb"\r\ncontent-length: *(\d+)", got[:end + 2], re.I) if end >= 0 else None
            whole = length is not None and len(got) >= end + 4 + int(length[1])
            if whole or not piece:
                del self.busy[number]
                self.note(int(got[9:12]) if whole else 0, began, time.perf_counter())
                if whole and not re.search(rb"\r\nconnection: *close", got[:end + 2], re.I):
                    self.idle.append(one)
                else:
                    one.close()
            else:
                self.busy[number][2] = got

    def at(self, rate, secs, turned):
        self.turned = turned
        begin, sent = time.perf_counter(), 0
        while (passed := time.perf_counter() - begin) < secs:
            while sent < passed * rate and self.send(time.perf_counter()):
                sent += 1
            self.receive(0.001)
        until = time.perf_counter() + 5
        while self.busy and time.perf_counter() < until:
            self.receive(0.01)
        for _ in self.busy:
            self.note(0, 0, 5)

    def failed(self):
        return sum(count for status, count in self.statuses.items() if status != 200)


def load(pipe, port, path, rate, secs, turned):
    """One path's load, in a process of its own."""
    signal.alarm(LIMIT)
    client = Client(port, path)
    client.at(rate, secs, turned)
    p99 = statistics.quantiles(client.times, n=100)[98] * 1000 if len(client.times) > 100 else 0
    pipe.send((len(client.times), client.failed(), client.statuses, p99, client.served))


def capacity(port):
    """Requests a second that are got through at most, load and gateway on the same machine."""
    wrk = shutil.which("wrk", path=PATH)
    if wrk:
        said = subprocess.run([wrk, "-t1", "-c32", "-d4s", f"http://127.0.0.1:{port}/good"], capture_output=True, text=True)
        return float(re.search(r"Requests/sec:\s*([\d.]+)", said.stdout)[1]), "wrk"
    found = processes([(port, "/good", 1e6, 2, 0)])
    return found[0][0] / 2, "this client"


def processes(loads):
    """What came of each load."""
    running = []
    for words in loads:
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.Process(target=load, args=(theirs, *words), daemon=True)
        process.start()
        running.append((ours, process))
    return [(ours.recv(), process.join())[0] for ours, process in running]


async def play(port, kind, pipe, rate, secs):
    turned = time.perf_counter() + secs / 2
    paths = [("/good", 0.6), (f"/{kind}/pool", 0.3), (f"/{kind}/alone", 0.1)]
    loads = [(port, path, rate * share, secs, turned) for path, share in paths]
    running = asyncio.get_running_loop().run_in_executor(None, processes, loads)
    await asyncio.sleep(max(0, turned - time.perf_counter()))
    pipe.send(("behave", kind))
    good, pool, alone = await running
    fits = {200, 500, 502, 503, 504}
    pipe.send(("called", kind))
    return {
        "kind": kind, "requests": good[0], "good_failed": good[1], "pool": pool[0], "pool_failed": pool[1],
        "alone": alone[0], "alone_odd": sum(n for s, n in alone[2].items() if s not in fits), "p99_ms": good[3],
        "host_back_s": pipe.recv(), "alone_back_s": alone[4],
    }


async def run(options):
    pipe, theirs = multiprocessing.Pipe()
    nginx = Good(2 + 2 * len(KINDS)) if shutil.which("nginx", path=PATH) else None
    process = multiprocessing.Process(target=backends, args=(theirs, list(nginx.ports) if nginx else []), daemon=True)
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
        most, way = capacity(port)
        rate = min(most / 2, options.rate or most)
        print(f"{most:.0f} requests/s at most ({way}); {rate:.0f}/s from here on, {options.secs}s for each kind")
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
        if nginx:
            nginx.end()


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
    parser.add_argument("--rate", type=float, default=0, help="at most so many requests a second; half of what it can without")
    parser.add_argument("--json")
    options = parser.parse_args()
    signal.alarm(LIMIT)
    sys.exit(asyncio.run(run(options)))


if __name__ == "__main__":
    main()
