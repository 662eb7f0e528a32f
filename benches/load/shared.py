#!/usr/bin/env python3
"""What three gateways let pass together of a limit that they share through one store: how far they are over it, how
many calls the store gets, and what happens when it is killed, paused and flushed under load.

    make bench-load-shared
    benches/load/shared.py --gateway BINARY [--rate 3000] [--offered 3000] [--callers 500]

Each gateway is offered more than the share of the limit that it would have alone. The limit of all is met by requests
for what does not exist: who passes gets 404, who does not 429, and no backend stands in the way. Then callers by
the hundred, each with a limit of its own, ask all three. At last the store goes through its accidents while a table
says second by second who let pass what, and whether the store was there.

Needs redis-server (scripts/setup.sh). Loopback only, Python's standard library only; ends by itself in a minute.
"""
import argparse, json, multiprocessing, os, random, re, signal, socket, subprocess, sys, tempfile, time, urllib.request

GATEWAYS = 3
BATCH = 10


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Store:
    """A redis-server without a disk, on a port that stays the same over its deaths."""

    def __init__(self):
        self.port, self.folder, self.process = free_port(), tempfile.TemporaryDirectory(), None
        self.start()

    def start(self):
        words = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(words, cwd=self.folder.name, stdout=subprocess.DEVNULL)
        until(lambda: self.ask("PING") is not None, "the store")

    def ask(self, *words):
        """A command's answer as it is on the wire; None when nobody answers."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as link:
                line = "".join(f"${len(w)}\r\n{w}\r\n" for w in words)
                link.sendall(f"*{len(words)}\r\n{line}".encode())
                answer = link.recv(1 << 16)
                size = re.match(rb"\$(\d+)", answer)
                while size and len(answer) < int(size[1]):
                    answer += link.recv(1 << 16)
                return answer.decode()
        except OSError:
            return None

    def calls(self):
        """Calls of the gateways, a round trip each, and the commands that their scripts made in the store."""
        stats = self.ask("INFO", "commandstats") or ""
        all_of_them = re.findall(r"cmdstat_(\w+):calls=(\d+)", stats)
        calls = sum(int(n) for name, n in all_of_them if name in ("eval", "evalsha"))
        return calls, sum(int(n) for name, n in all_of_them if name not in ("eval", "evalsha", "info", "ping"))

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.kill()


class Gateway:
    def __init__(self, binary, config):
        self.port, self.internal, self.folder = free_port(), free_port(), tempfile.TemporaryDirectory()
        file = os.path.join(self.folder.name, "gateway.json")
        with open(file, "w") as out:
            json.dump({**config, "version": 3, "port": self.port}, out)
        environment = {"PATH": os.environ["PATH"], "TMPDIR": self.folder.name,
                       "HANZO_GATEWAY_METRICS": f"127.0.0.1:{self.internal}"}
        self.log = open(os.path.join(self.folder.name, "log"), "w+")
        self.process = subprocess.Popen([binary, "run", "-c", file], env=environment, stdout=self.log,
                                        stderr=subprocess.STDOUT)
        until(self.ready, "a gateway and its store")

    def ready(self):
        return self.metric("rate_limit_store_up") == 1

    def metric(self, name):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.internal}/metrics", timeout=2) as answer:
                found = re.findall(rf"^hanzo_gateway_{name}\{{.*\}} (\S+)$", answer.read().decode(), re.M)
                return sum(float(value) for value in found) if found else None
        except OSError:
            return None

    def cpu(self):
        with open(f"/proc/{self.process.pid}/stat") as stat:
            parts = stat.read().rsplit(")", 1)[1].split()
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")

    def end(self):
        self.process.kill()
        self.process.wait()


def until(look, what):
    deadline = time.monotonic() + 20
    while not look():
        if time.monotonic() > deadline:
            sys.exit(f"gave up waiting for {what}")
        time.sleep(.02)


def client(port, offered, callers, ends, seconds):
    """Asks until a moment, and notes for each second who passed and who did not."""
    link = socket.create_connection(("127.0.0.1", port))
    link.settimeout(5)
    begin, sent, kept = time.monotonic(), 0, b""
    while (now := time.monotonic()) < ends:
        ahead = begin + sent / offered - now
        if ahead > 0:
            time.sleep(ahead)
        batch = b"".join(b"GET /nowhere HTTP/1.1\r\nHost: bench\r\nX-Caller: %d\r\n\r\n" % random.randrange(callers)
                         for _ in range(BATCH))
        link.sendall(batch)
        sent, answers = sent + BATCH, 0
        while answers < BATCH:
            kept += link.recv(1 << 18)
            *whole, kept = kept.split(b"HTTP/1.1 ") if kept.count(b"HTTP/1.1 ") > 1 else (kept,)
            for one in whole:
                answers += note(one, seconds)
            # The last answer is whole when its body is.
            head, _, body = kept.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.I)
            if length and len(body) >= int(length[1]):
                answers += note(kept.removeprefix(b"HTTP/1.1 "), seconds)
                kept = b""


def note(answer, seconds):
    if answer[:3].isdigit():
        second = int(time.monotonic() - seconds[0])
        if 0 <= second < (len(seconds) - 1) // 2:
            seconds[1 + second * 2 + (answer[:3] != b"404")] += 1
        return 1
    return 0


class Load:
    """One client for each gateway, in processes of their own."""

    def __init__(self, gateways, length, offered, callers):
        self.length, begin = length, time.monotonic()
        self.seconds, self.clients = [], []
        for gateway in gateways:
            seconds = multiprocessing.Array("d", 1 + (length + 2) * 2, lock=False)
            seconds[0] = begin
            words = (gateway.port, offered, callers, begin + length, seconds)
            self.seconds.append(seconds)
            self.clients.append(multiprocessing.Process(target=client, args=words, daemon=True))
        for one in self.clients:
            one.start()

    def wait(self):
        for one in self.clients:
            one.join(self.length + 10)
        return [sum(int(s[1 + n * 2 + which]) for s in self.seconds for n in range(self.length + 2)) for which in (0, 1)]

    def second(self, number):
        return [int(seconds[1 + number * 2]) for seconds in self.seconds]


def shared(store, limits):
    redis = {"connection_pools": [{"name": "bench", "address": f"127.0.0.1:{store.port}"}]}
    name = "qos/ratelimit/service/redis"
    return {"extra_config": {"redis": redis, name: {"connection_name": "bench", **limits},
                             "router": {"disable_access_log": True}},
            "endpoints": [{"endpoint": "/a", "backend": [{"url_pattern": "/", "host": ["http://127.0.0.1:9999"]}]}]}


def measured(args, store, limits, allowed, callers, length=10):
    gateways = [Gateway(args.gateway, shared(store, limits)) for _ in range(GATEWAYS)]
    try:
        (calls, commands), cpu, began = store.calls(), sum(g.cpu() for g in gateways), time.monotonic()
        passed, refused = Load(gateways, length, args.offered, callers).wait()
        took = time.monotonic() - began
        then, cpu = store.calls(), sum(g.cpu() for g in gateways) - cpu
        calls, commands = then[0] - calls, then[1] - commands
    finally:
        for gateway in gateways:
            gateway.end()
    may, asked = allowed(took), passed + refused
    print(f"  asked {asked} ({asked / took:,.0f}/s), passed {passed}, allowed {may:.0f}: "
          f"{(passed / may - 1) * 100:+.2f} %; {calls} calls ({calls / took:.0f}/s, "
          f"{calls / asked * 100:.2f} for 100 requests) and {commands} commands in them; {cpu / asked * 1e6:.0f} us of CPU a request")
    return passed / may - 1, calls / asked


def accidents(args, store, limits):
    gateways = [Gateway(args.gateway, shared(store, limits)) for _ in range(GATEWAYS)]
    script = {4: ("killed", store.kill), 7: ("started again", store.start),
              12: ("paused", lambda: store.process.send_signal(signal.SIGSTOP)),
              15: ("goes on", lambda: store.process.send_signal(signal.SIGCONT)),
              19: ("flushed", lambda: store.ask("FLUSHALL"))}
    length = 23
    load = Load(gateways, length, args.offered, 1)
    print("  second  passed by each          together  store says   the store was")
    try:
        for second in range(length):
            what, act = script.get(second, ("", lambda: None))
            act()
            time.sleep(max(0, load.seconds[0][0] + second + 1 - time.monotonic()))
            up = " ".join("up" if g.metric("rate_limit_store_up") == 1 else "away" for g in gateways)
            each = load.second(second)
            print(f"  {second:6}  {str(each):22}  {sum(each):8}  {up:14} {what}")
        load.wait()
        warnings = 0
        for gateway in gateways:
            gateway.log.seek(0)
            warnings += gateway.log.read().count("the store of shared limits is away")
        print(f"  {warnings} warnings that the store is away")
    finally:
        for gateway in gateways:
            gateway.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", required=True)
    parser.add_argument("--rate", type=int, default=3000, help="requests a second that all may together")
    parser.add_argument("--offered", type=int, default=3000, help="requests a second that each gateway is asked")
    parser.add_argument("--callers", type=int, default=500)
    args = parser.parse_args()
    store = Store()
    try:
        rate, burst = args.rate, args.rate
        of_all = {"max_rate": rate, "capacity": burst}
        print(f"one limit of {rate}/s and {burst} at once for three gateways, each asked {args.offered}/s")
        measured(args, store, of_all, lambda took: rate * took + burst, 1)
        offered, args.offered = args.offered, rate * 4 // 15
        print(f"the same, each asked {args.offered}/s, which is less than all may")
        measured(args, store, of_all, lambda took: rate * took + burst, 1)
        args.offered = offered
        each = {"client_max_rate": 5, "client_capacity": 10, "strategy": "header", "key": "X-Caller"}
        print(f"{args.callers} callers with 5/s and 10 at once each")
        measured(args, store, each, lambda took: args.callers * (5 * took + 10), args.callers)
        print(f"accidents of the store, under one limit of {rate}/s; away from it each gateway may {rate}/s")
        accidents(args, store, of_all)
    finally:
        store.end()


if __name__ == "__main__":
    main()
