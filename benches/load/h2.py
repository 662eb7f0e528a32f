#!/usr/bin/env python3
"""What a request of an HTTP/2 client costs: the gateway beside nginx, HTTP/1.1 with keep-alive to the same upstream.

    make bench-load-h2
    benches/load/h2.py --gateway BINARY [--gateway OTHER ...] [--rounds 5] [--secs 2] [--tls] [--json FILE]

The method is that of run.py: one proxy at a time with one worker on the first core, load and upstream on
the others, interleaved rounds, medians, CPU time from schedstat. h2load makes the load: --conns
connections with --streams requests at once on each, cleartext with prior knowledge, or TLS with --tls
(a certificate made by the openssl command for this run).

Several --gateway are measured side by side, so that a change is seen as a ratio: the ratios of each
round are taken first, and the median of these is told. Goal: 1.5 times nginx for GET 1 KiB.

Loopback only, Python's standard library only; needs nginx and h2load. Ends by itself after ten minutes.
"""
import argparse, json, os, re, shutil, statistics, subprocess, sys, tempfile

import run

WINDOWS = [("GET 1 KiB", "/1k", False), ("GET 100 KiB", "/100k", False), ("POST 1 KiB", "/p", True),
           ("merge of 3 JSON answers", "/agg", False)]


def load(port, path, post, options):
    """One window of h2load; its counts."""
    scheme = "https" if options.tls else "http"
    command = [shutil.which("h2load", path=run.PATH), "-t1", f"-c{options.conns}", f"-m{options.streams}",
               f"-D{options.secs}", *(["-d", options.body] if post else []),
               f"{scheme}://127.0.0.1:{port}{path}"]
    out = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=options.secs + 20,
                         preexec_fn=lambda: os.sched_setaffinity(0, run.OTHERS)).stdout
    counts = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed", out)
    good = re.search(r"status codes: (\d+) 2xx", out)
    if not counts or not int(counts[2]):
        raise RuntimeError(f"no answers from {path}: {out[-300:]}")
    return {"n": int(counts[1]), "errors": max(0, int(counts[1]) - int(good[1]))}


def nginx(folder, port, up, options):
    tls = f"ssl_certificate {options.folder}/cert; ssl_certificate_key {options.folder}/key;" if options.tls else ""
    inside = f"""proxy_buffers 8 16k; upstream u {{{{ server {up}; keepalive 256; keepalive_requests 100000000; }}}}
  server {{{{ listen 127.0.0.1:{{port}}{" ssl" if options.tls else ""}{" http2" if options.old_nginx else ""};
    {"" if options.old_nginx else "http2 on;"} {tls}
    location / {{{{ proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection ""; }}}} }}}}"""
    return run.nginx_conf(folder, port, inside)


def gateway(binary):
    def command(folder, port, up, options):
        text = open(os.path.join(run.HERE, "gateway.tmpl.json")).read()
        settings = json.loads(text.replace("{port}", str(port)).replace("{up}", up))
        settings["use_h2c"] = True
        if options.tls:
            settings["tls"] = {"keys": [{"public_key": options.folder + "/cert", "private_key": options.folder + "/key"}]}
        path = os.path.join(folder, "gateway.json")
        json.dump(settings, open(path, "w"))
        return [binary, "run", "-c", path, "--metrics", "off"]
    return command


def turn(name, make, folder, up, options, samples):
    """One peer's part of a round."""
    folder = tempfile.mkdtemp(prefix="peer-", dir=folder)
    port = run.free_port()
    process = run.spawn(make(folder, port, up, options), run.PROXY, folder, {"PATH": run.PATH})
    try:
        warm_up(port, options)
        for title, path, post in WINDOWS:
            if path == "/agg" and name == "nginx":
                continue
            measure(name, title, process, port, path, post, options, samples)
    finally:
        run.end(process)


def measure(name, title, process, port, path, post, options, samples):
    before = run.cpu(process.pid)
    got = load(port, path, post, options)
    got["us"] = (run.cpu(process.pid) - before) / got["n"]
    samples.setdefault((name, title), []).append(got)


def warm_up(port, options):
    """Waits for the listener, and lets pools and allocators fill."""
    short = argparse.Namespace(**{**vars(options), "secs": 1})
    for left in range(40, -1, -1):
        try:
            return load(port, "/1k", False, short)
        except (RuntimeError, subprocess.TimeoutExpired):
            if not left:
                raise


def report(names, samples, options):
    how = "TLS" if options.tls else "cleartext"
    print(f"{options.rounds} rounds of {options.secs} s, {options.conns} {how} connections of {options.streams} requests, "
          f"load average {os.getloadavg()[0]:.1f}\n")
    for title, _, _ in WINDOWS:
        base = samples.get(("nginx", title)) or samples.get(("nginx", "GET 1 KiB"))
        first = samples.get((names[1], title), [])
        if not first:
            continue
        print(f"{title:26} {'CPU µs':>9} {'vs nginx':>9} {'vs first':>9} {'errors':>7}")
        for name in names:
            own = samples.get((name, title))
            if not own:
                continue
            ratio = lambda other: statistics.median(a["us"] / b["us"] for a, b in zip(own, other))
            print(f"  {name:24} {statistics.median(one['us'] for one in own):9.1f} {ratio(base):8.2f}× {ratio(first):8.3f}× "
                  f"{sum(one['errors'] for one in own):7}")
        print()
    print("The merge is told beside nginx's GET 1 KiB.")


def certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder + "/key", "-out", folder + "/cert"],
                   check=True, capture_output=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", type=os.path.abspath, action="append", required=True, help="a gateway's binary")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--secs", type=int, default=2, help="length of a window")
    parser.add_argument("--conns", type=int, default=8)
    parser.add_argument("--streams", type=int, default=8, help="requests at once on a connection")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--json", help="write all samples here")
    options = parser.parse_args()
    run.needs("nginx", "h2load")
    version = subprocess.run(["nginx", "-v"], capture_output=True, text=True, env={**os.environ, "PATH": run.PATH}).stderr
    options.old_nginx = tuple(map(int, re.search(r"/(\d+)\.(\d+)\.(\d+)", version).groups())) < (1, 25, 1)
    run.ends_within(run.LIMIT)

    peers = {"nginx": nginx}
    for number, binary in enumerate(options.gateway):
        peers[f"gateway {number + 1}" if number else "gateway"] = gateway(binary)
    samples = {}
    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        os.chmod(folder, 0o755)
        options.folder, options.body = folder, folder + "/body"
        open(options.body, "wb").write(b"x" * 1024)
        if options.tls:
            certificate(folder)
        port = run.free_port()
        try:
            upstream = run.start_upstream(folder + "/upstream", port)
            run.await_200(port, upstream, folder + "/upstream")
            for number in range(options.rounds):
                for name, make in peers.items():
                    turn(name, make, folder, f"127.0.0.1:{port}", options, samples)
                print(f"round {number + 1}", file=sys.stderr)
        finally:
            for process in list(run.started):
                run.end(process)
    report(list(peers), samples, options)
    if options.json:
        json.dump({f"{name}: {key}": values for (name, key), values in samples.items()}, open(options.json, "w"), indent=1)


if __name__ == "__main__":
    main()
