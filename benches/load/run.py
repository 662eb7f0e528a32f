#!/usr/bin/env python3
"""What one proxied request costs: the gateway beside plain Pingora (examples/bare.rs) and nginx.

    make bench-load
    benches/load/run.py --gateway BINARY [--bare BINARY] [--policies] [--rounds 3] [--secs 2] [--json FILE]

One proxy runs at a time, with one worker, on the first core; load and upstream share the others.
Rounds are interleaved (A B C A B C) and medians told, so that a machine that drifts hits all alike.

The first figure is CPU time of the proxy per request, from /proc/PID/task/*/schedstat around the
window: it holds when load and upstream are slower than the proxy, which throughput does not. The
latency is what the proxy adds at a fixed moderate rate to that of the upstream alone.

Loopback only, Python's standard library only. wrk makes the load and nginx is the upstream when
they are installed; else this file is both. The run ends by itself after ten minutes.
"""
import argparse, asyncio, contextlib, http.client, json, os, re, shlex, shutil, signal, socket
import statistics, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
ITEM = json.dumps({"id": 4711, "name": "item", "price": 12.5, "tags": ["a", "b"], "text": "some words " * 30})
FILES = {"/1k": b"x" * 1024, "/p": b"x" * 1024, "/100k": b"y" * 102400, "/json": ITEM.encode()}
CORES = sorted(os.sched_getaffinity(0))
PROXY, OTHERS = {CORES[0]}, set(CORES[1:]) or {CORES[0]}
LIMIT = 600
WINDOWS = [("GET 1 KiB", "/1k", "GET"), ("GET 100 KiB", "/100k", "GET"), ("POST 1 KiB", "/p", "POST"),
           ("merge of 3 JSON answers", "/agg", "GET")]


# ---- upstream and load, for machines without nginx and wrk -------------------------------------
class Upstream(asyncio.Protocol):
    """Answers the files above from memory; POST bodies with a Content-Length or chunked are skipped."""

    def connection_made(self, transport):
        self.transport, self.buffer = transport, b""

    def data_received(self, data):
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head, rest = self.buffer[:end].lower(), self.buffer[end + 4:]
            length = re.search(rb"\r\ncontent-length: *(\d+)", head)
            if b"\r\ntransfer-encoding: chunked" in head:
                last = rest.find(b"0\r\n\r\n")
                if last < 0:
                    return
                rest = rest[last + 5:]
            elif length:
                if len(rest) < int(length[1]):
                    return
                rest = rest[int(length[1]):]
            path = self.buffer.split(b" ", 2)[1].split(b"?")[0].decode()
            body = FILES.get(path)
            kind = b"application/json" if path == "/json" else b"text/plain"
            status = b"200 OK" if body is not None else b"404 Not Found"
            body, self.buffer = body or b"", rest
            self.transport.write(b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s"
                                 % (status, kind, len(body), body))


async def serve(port):
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port)
    await server.serve_forever()


async def load(port, path, method, secs, conns, rate):
    """Closed loop over `conns` connections, or paced when `rate` is given; prints what it counted."""
    body = b"x" * 1024 if method == "POST" else b""
    fields = b"Content-Length: 1024\r\nContent-Type: text/plain\r\n" if body else b""
    ask = b"%s %s HTTP/1.1\r\nHost: bench\r\n%s\r\n%s" % (method.encode(), path.encode(), fields, body)
    times, errors, begin = [], 0, time.perf_counter()

    async def one(number):
        nonlocal errors
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        due = begin + number / rate if rate else begin
        while time.perf_counter() - begin < secs:
            if rate:
                await asyncio.sleep(max(0, due - time.perf_counter()))
                due += conns / rate
            start = time.perf_counter()
            writer.write(ask)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"\r\ncontent-length: *(\d+)", head.lower())
            if length:
                await reader.readexactly(int(length[1]))
            else:
                while size := int((await reader.readline()).split(b";")[0], 16):
                    await reader.readexactly(size + 2)
                await reader.readline()
            times.append(time.perf_counter() - start)
            errors += not head.startswith(b"HTTP/1.1 200")
        writer.close()

    for end in await asyncio.gather(*map(one, range(conns)), return_exceptions=True):
        errors += isinstance(end, Exception)
    print(json.dumps(summary(times, errors)))


def summary(times, errors):
    times.sort()
    at = lambda share: times[int((len(times) - 1) * share)] * 1e6 if times else None
    return {"n": len(times), "p50": at(.5), "p99": at(.99), "errors": errors}


# ---- processes ----------------------------------------------------------------------------------
started = []


def spawn(command, cores, folder, env=None):
    log = open(os.path.join(folder, "log"), "ab")
    process = subprocess.Popen(command, cwd=folder, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
                               stdout=log, stderr=log, start_new_session=True,
                               preexec_fn=lambda: os.sched_setaffinity(0, cores))
    started.append(process)
    return process


def end(process):
    for number, patience in ((signal.SIGTERM, 3), (signal.SIGKILL, 3)):
        with contextlib.suppress(OSError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
    if process in started:
        started.remove(process)


def family(pid):
    """A process and its descendants."""
    children = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            parent = open(f"/proc/{entry}/stat").read().rpartition(")")[2].split()[1]
            children.setdefault(int(parent), []).append(int(entry))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def cpu(pid):
    """Microseconds on a core so far, of all threads that live."""
    total = 0
    for one in family(pid):
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{one}/task"):
                with contextlib.suppress(OSError):
                    total += int(open(f"/proc/{one}/task/{task}/schedstat").read().split()[0])
    return total / 1e3


def memory(pid):
    """Resident MiB, shared pages counted once."""
    total = 0
    for one in family(pid):
        with contextlib.suppress(OSError, TypeError):
            total += int(re.search(r"^Pss:\s+(\d+)", open(f"/proc/{one}/smaps_rollup").read(), re.M)[1])
    return total / 1024


def needs(*tools):
    """Ends here when one of them is not installed."""
    missing = [tool for tool in tools if not shutil.which(tool, path=PATH)]
    if missing:
        sys.exit("needs " + ", ".join(missing))


def ends_within(seconds):
    """Whatever ends the script, or that time, lets it end what it has started."""
    def leave(number, _):
        sys.exit(f"stopped by signal {number}" if number != signal.SIGALRM else "stopped: took too long")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, leave)
    signal.alarm(seconds)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port, path, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path, body=b"x" * 1024 if method == "POST" else None)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def await_200(port, process, folder):
    begin = time.monotonic()
    while time.monotonic() - begin < 20 and process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if ask(port, "/1k")[0] == 200:
                return (time.monotonic() - begin) * 1e3
        time.sleep(.002)
    raise RuntimeError("no 200 from /1k: " + open(os.path.join(folder, "log"), errors="replace").read()[-600:])


# ---- who is measured ------------------------------------------------------------------------------
def nginx_conf(folder, port, inside, connections=4096):
    temporary = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    text = f"""worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/log crit;
events {{ worker_connections {connections}; }}
http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 300s; {temporary} {inside.format(port=port)} }}"""
    path = os.path.join(folder, "nginx.conf")
    open(path, "w").write(text)
    return ["nginx", "-c", path, "-p", folder]


def start_nginx(folder, port, up, _):
    inside = f"""proxy_buffers 8 16k; upstream u {{{{ server {up}; keepalive 256; keepalive_requests 100000000; }}}}
  server {{{{ listen 127.0.0.1:{{port}};
    location / {{{{ proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection ""; }}}} }}}}"""
    return nginx_conf(folder, port, inside), {}


def start_bare(folder, port, up, options):
    path = os.path.join(folder, "server.yaml")
    open(path, "w").write(f"---\nversion: 1\nthreads: 1\npid_file: {folder}/pid\nupgrade_sock: {folder}/upgrade\n"
                          "upstream_keepalive_pool_size: 256\ngrace_period_seconds: 0\ngraceful_shutdown_timeout_seconds: 1\n")
    return [options.bare, "-c", path], {"BARE_LISTEN": f"127.0.0.1:{port}", "BARE_UPSTREAMS": up, "RUST_LOG": "error"}


def with_policies(text):
    """The same routes behind limits that nobody reaches (of all, of an endpoint, of a caller), breakers and CORS."""
    document = json.loads(text)
    document["extra_config"].update({
        "hanzo/ratelimit": {"global": {"rate": 10_000_000}, "identity": ["ip"], "default_tier": "all",
                            "tiers": {"all": {"per_minute": 600_000_000, "burst": 10_000_000}}},
        "security/cors": {"allow_origins": ["https://app.example.org"], "allow_methods": ["GET", "POST"]}})
    for endpoint in document["endpoints"]:
        endpoint.setdefault("extra_config", {})["hanzo/ratelimit"] = {"rate": 10_000_000, "burst": 10_000_000}
        for backend in endpoint["backend"]:
            backend["extra_config"] = {"qos/circuit-breaker": {"interval": 60, "timeout": 10, "max_errors": 100}}
    return json.dumps(document)


def start_gateway(folder, port, up, options):
    path = os.path.join(folder, "gateway.json")
    text = open(options.template).read().replace("{port}", str(port)).replace("{up}", up)
    open(path, "w").write(with_policies(text) if options.policies else text)
    return [options.gateway, "run", "-c", path, *shlex.split(options.arguments)], {}


def start_upstream(folder, port):
    os.makedirs(folder)
    if shutil.which("nginx", path=PATH):
        os.makedirs(folder + "/files")
        for path, body in FILES.items():
            open(folder + "/files" + path, "wb").write(body)
        inside = f"""sendfile on; tcp_nopush on; open_file_cache max=10; server {{{{ listen 127.0.0.1:{{port}}; root {folder}/files;
    location = /p {{{{ return 200 "{'x' * 1024}"; }}}} location = /json {{{{ default_type application/json; }}}} }}}}"""
        command = nginx_conf(folder, port, inside, 16384)
    else:
        command = [sys.executable, os.path.abspath(__file__), "upstream", str(port)]
    return spawn(command, OTHERS, folder, {"PATH": PATH})


def generate(port, path, method, secs, conns, rate=None):
    """One window of load; wrk where it is installed and no rate is asked for."""
    wrk = None if rate else shutil.which("wrk", path=PATH)
    if not wrk:
        command = [sys.executable, os.path.abspath(__file__), "load", *map(str, (port, path, method, secs, conns, rate or 0))]
    else:
        script = os.path.join(HERE, "post.lua")
        command = [wrk, "-t1", f"-c{conns}", f"-d{secs}s", "--latency", *(["-s", script] if method == "POST" else []),
                   f"http://127.0.0.1:{port}{path}"]
    out = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=secs + 20,
                         preexec_fn=lambda: os.sched_setaffinity(0, OTHERS))
    if not wrk:
        return json.loads(out.stdout)
    units = {"us": 1, "ms": 1e3, "s": 1e6}
    times = {name: re.search(rf"^\s+{name}%\s+([\d.]+)(us|ms|s)", out.stdout, re.M) for name in ("50", "99")}
    return {"n": int(re.search(r"(\d+) requests in", out.stdout)[1]),
            "errors": sum(map(int, re.findall(r"(?:connect|read|write|timeout|responses:) (\d+)", out.stdout))),
            **{"p" + name: float(found[1]) * units[found[2]] for name, found in times.items() if found}}


def window(process, *arguments, **more):
    cpu_before, begin = cpu(process.pid), time.monotonic()
    got = generate(*arguments, **more)
    took, spent = time.monotonic() - begin, cpu(process.pid) - cpu_before
    if not got["n"]:
        raise RuntimeError(f"no answers from {arguments[1]}")
    return {**got, "us": spent / got["n"], "rate": got["n"] / took, "memory": memory(process.pid)}


def turn(name, start, folder, up, options, samples):
    """One peer's part of a round."""
    folder = tempfile.mkdtemp(prefix=name + "-", dir=folder)
    port = free_port()
    command, env = start(folder, port, up, options)
    process = spawn(command, PROXY, folder, {"PATH": PATH, **env})
    try:
        note = lambda key, value: samples.setdefault((name, key), []).append(value)
        note("start", await_200(port, process, folder))
        generate(port, "/1k", "GET", 1, options.conns)
        for title, path, method in WINDOWS:
            if path == "/agg":
                status, body = ask(port, path)
                if status != 200 or set(json.loads(body)) != {"b0", "b1", "b2"}:
                    continue
            note(title, window(process, port, path, method, options.secs, options.conns))
        note("fixed", window(process, port, "/1k", "GET", options.secs, 10, rate=options.rate))
    finally:
        end(process)


def median(samples, key, member):
    values = [sample[member] for sample in samples.get(key, []) if sample.get(member) is not None]
    return statistics.median(values) if values else float("nan")


def report(names, samples, direct, options):
    kind = ("wrk" if shutil.which("wrk", path=PATH) else "built-in load", "nginx" if shutil.which("nginx", path=PATH) else "built-in")
    print(f"{options.rounds} rounds of {options.secs} s, {options.conns} connections, {kind[0]}, {kind[1]} upstream, "
          f"{len(CORES)} cores, load average {os.getloadavg()[0]:.1f}\n")
    for title, _, _ in WINDOWS:
        base = median(samples, ("bare", title), "us")
        print(f"{title:26} {'CPU µs':>9} {'vs bare':>8} {'req/s':>8} {'p50 µs':>8} {'p99 µs':>8} {'MiB':>6} {'errors':>7}")
        for name in names:
            if not samples.get((name, title)):
                continue
            of = lambda member: median(samples, (name, title), member)
            errors = sum(sample["errors"] for sample in samples[(name, title)])
            print(f"  {name:24} {of('us'):9.1f} {of('us') / base:7.2f}× {of('rate'):8.0f} {of('p50'):8.0f} {of('p99'):8.0f} "
                  f"{of('memory'):6.1f} {errors:7}")
        print()
    print(f"{f'GET 1 KiB, {options.rate}/s':26} {'CPU µs':>9} {'+p50 µs':>8} {'+p99 µs':>8} {'start ms':>9}")
    for name in names:
        added = [median(samples, (name, "fixed"), key) - statistics.median(one[key] for one in direct) for key in ("p50", "p99")]
        begin = statistics.median(samples.get((name, "start"), [float("nan")]))
        print(f"  {name:24} {median(samples, (name, 'fixed'), 'us'):9.1f} {added[0]:8.0f} {added[1]:8.0f} {begin:9.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", type=os.path.abspath, required=True, help="the gateway's binary")
    parser.add_argument("--arguments", default="", help="further arguments of `run`")
    parser.add_argument("--bare", type=os.path.abspath, help="the binary of examples/bare.rs")
    parser.add_argument("--template", default=os.path.join(HERE, "gateway.tmpl.json"))
    parser.add_argument("--policies", action="store_true", help="limits at three levels, breakers and CORS on each route")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--secs", type=int, default=2, help="length of a window")
    parser.add_argument("--conns", type=int, default=32)
    parser.add_argument("--rate", type=int, default=500, help="requests a second of the latency window")
    parser.add_argument("--json", help="write all samples here")
    options = parser.parse_args()
    ends_within(LIMIT)

    peers = {"gateway": start_gateway}
    if options.bare:
        peers["bare"] = start_bare
    if shutil.which("nginx", path=PATH):
        peers["nginx"] = start_nginx
    samples, direct = {}, []
    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        os.chmod(folder, 0o755)
        port = free_port()
        try:
            upstream = start_upstream(folder + "/upstream", port)
            await_200(port, upstream, folder + "/upstream")
            for number in range(options.rounds):
                direct.append(generate(port, "/1k", "GET", options.secs, 10, rate=options.rate))
                for name, start in peers.items():
                    try:
                        turn(name, start, folder, f"127.0.0.1:{port}", options, samples)
                        print(f"round {number + 1}: {name}", file=sys.stderr)
                    except (RuntimeError, OSError, ValueError, subprocess.SubprocessError) as problem:
                        print(f"round {number + 1}: {name}: {problem}", file=sys.stderr)
        finally:
            for process in list(started):
                end(process)
    report(peers, samples, direct, options)
    if options.json:
        flat = {f"{name}: {key}": values for (name, key), values in samples.items()}
        json.dump({"direct": direct, "samples": flat}, open(options.json, "w"), indent=1)
    sys.exit(0 if ("gateway", "GET 1 KiB") in samples else 1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["upstream"]:
        asyncio.run(serve(int(sys.argv[2])))
    elif sys.argv[1:2] == ["load"]:
        path, method = sys.argv[3:5]
        asyncio.run(load(int(sys.argv[2]), path, method, *map(int, sys.argv[5:8])))
    else:
        main()
