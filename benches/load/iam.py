#!/usr/bin/env python3
"""What it costs to know who is calling: the same route open, and locked by each of the three ways in.

    make bench-load-iam
    benches/load/iam.py --gateway BINARY [--rounds 3] [--secs 2] [--fresh 3000] [--json FILE]

The method is that of run.py: the gateway with one worker on the first core, load (wrk) and upstream (nginx) on the
others, CPU time from schedstat, medians. Each figure is told as microseconds and as a ratio to the open route in the
same round. "fresh" tokens are signed with RS256 and each is sent once, so that none is remembered.

Then the identity service (a thread of this file) is hurt while callers go on: its keys rotate, it falls silent, it
dies and comes back. Told are the statuses that callers got; whoever is remembered must get nothing but 200.

Goals: a remembered token at most 3 us, a remembered key at most 2 us, a fresh token at most 60 us.
Loopback only, Python's standard library only; needs nginx, wrk and openssl. Ends by itself after ten minutes.
"""
import argparse, base64, collections, contextlib, hashlib, http.client, http.server, json, os, shutil, statistics
import subprocess, sys, tempfile, threading, time, urllib.parse

import run

KEY, OPAQUE = "sk-hanzo-load-1", "opaque-load-1"
WAYS = [("open", "/open", None), ("remembered token", "/locked", "jwt"), ("remembered key", "/locked", "key"),
        ("remembered opaque token", "/locked", "opaque"), ("key that is no good", "/locked", "bad"),
        ("nothing shown", "/locked", None)]


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


class Signer:
    """RS256 with the Chinese remainder theorem; the key comes from openssl."""

    def __init__(self, number):
        pem = subprocess.run(["openssl", "genrsa", "-traditional", "2048"], capture_output=True, check=True).stdout
        der = subprocess.run(["openssl", "rsa", "-traditional", "-outform", "DER"], input=pem, capture_output=True,
                             check=True).stdout
        _, self.n, self.e, _, self.p, self.q, self.dp, self.dq, self.qi = self.integers(der)
        self.kid = f"load-{number}"

    @staticmethod
    def integers(der):
        def head(at):
            length, at = der[at + 1], at + 2
            if length & 0x80:
                count = length & 0x7f
                length, at = int.from_bytes(der[at:at + count], "big"), at + count
            return length, at
        _, at = head(0)
        while at < len(der):
            length, at = head(at)
            yield int.from_bytes(der[at:at + length], "big")
            at += length

    def token(self, subject):
        claims = {"iss": "https://iam", "aud": "load", "sub": subject, "org": "load", "scope": "api",
                  "iat": int(time.time()), "exp": int(time.time()) + 3600}
        text = b64(json.dumps({"alg": "RS256", "kid": self.kid}).encode()) + b"." + b64(json.dumps(claims).encode())
        info = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(text).digest()
        message = int.from_bytes(b"\x00\x01" + b"\xff" * (256 - 3 - len(info)) + b"\x00" + info, "big")
        one, two = pow(message % self.p, self.dp, self.p), pow(message % self.q, self.dq, self.q)
        signature = two + (self.qi * (one - two) % self.p) * self.q
        return (text + b"." + b64(signature.to_bytes(256, "big"))).decode()

    def jwk(self):
        number = lambda value: b64(value.to_bytes((value.bit_length() + 7) // 8, "big")).decode()
        return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid, "n": number(self.n), "e": number(self.e)}


class Iam:
    """The identity service: keys, a validator of API keys, introspection."""

    def __init__(self):
        self.signers, self.asked, self.silent, self.port = [Signer(1)], collections.Counter(), False, 0
        self.start()

    def start(self):
        iam = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.answer({"keys": [signer.jwk() for signer in iam.signers]})

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                if self.path == "/keys":
                    good = json.loads(body)["key"].startswith("sk-hanzo-load")
                    self.answer({"valid": good, "user_id": "u", "org_id": "o", "scopes": ["api"], "tier": "team"})
                else:
                    token = urllib.parse.parse_qs(body)["token"][0]
                    self.answer({"active": token.startswith("opaque-load"), "sub": "u", "org": "o", "scope": "api"})

            def answer(self, value):
                iam.asked[self.path] += 1
                while iam.silent:
                    time.sleep(.05)
                body = json.dumps(value).encode()
                with contextlib.suppress(OSError):
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            allow_reuse_address, daemon_threads = True, True
            sockets = []

            def process_request(self, request, address):
                self.sockets.append(request)
                super().process_request(request, address)

        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        for one in self.server.sockets:
            with contextlib.suppress(OSError):
                one.shutdown(2)
        self.server.sockets.clear()


def config(port, up, iam, ttl):
    base = f"http://127.0.0.1:{iam.port}"
    endpoint = lambda path, own: {"endpoint": path, "output_encoding": "no-op", "extra_config": own, "backend": [
        {"url_pattern": "/1k", "encoding": "no-op", "host": [f"http://{up}"]}]}
    return {"version": 3, "port": port, "listen_ip": "127.0.0.1", "timeout": "5s", "max_idle_connections": 1024,
            "max_idle_connections_per_host": 256, "extra_config": {
                "telemetry/logging": {"level": "INFO", "stdout": True},
                "hanzo/auth": {
                    "jwt": {"alg": "RS256", "jwk_url": base + "/jwks", "disable_jwk_security": True,
                            "issuer": "https://iam", "audience": ["load"], "cache": True},
                    "api_key": {"validate_url": base + "/keys", "cache_ttl": ttl, "timeout": "1s"},
                    "introspection": {"url": base + "/introspect", "cache_ttl": ttl, "timeout": "1s"},
                    "public": ["/open", "/1k"]}},
            "endpoints": [endpoint("/open", {}), endpoint("/locked", {}), endpoint("/1k", {})]}


def ask(port, token):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/locked", headers={"Authorization": "Bearer " + token} if token else {})
        return connection.getresponse().status
    finally:
        connection.close()


def gateway(folder, iam, up, options, ttl):
    folder = tempfile.mkdtemp(dir=folder)
    port = run.free_port()
    path = os.path.join(folder, "gateway.json")
    json.dump(config(port, up, iam, ttl), open(path, "w"))
    process = run.spawn([options.gateway, "run", "-c", path, "--metrics", "off"], run.PROXY, folder)
    run.await_200(port, process, folder)
    token, until = iam.signers[-1].token("early"), time.monotonic() + 10
    while ask(port, token) != 200:
        if time.monotonic() > until:
            raise RuntimeError("tokens are not verified: " + open(os.path.join(folder, "log")).read()[-600:])
        time.sleep(.01)
    return process, port


def wrk(process, port, path, options, token=None, script=None):
    """One window: microseconds of CPU a request, requests, and answers other than 2xx."""
    command = [shutil.which("wrk", path=run.PATH), "-t1", f"-c{options.conns}", f"-d{60 if script else options.secs}s"]
    command += ["-H", "Authorization: Bearer " + token] if token else []
    command += ["-s", script] if script else []
    before = run.cpu(process.pid)
    out = subprocess.run([*command, f"http://127.0.0.1:{port}{path}"], stdin=subprocess.DEVNULL, capture_output=True,
                         text=True, timeout=90, preexec_fn=lambda: os.sched_setaffinity(0, run.OTHERS)).stdout
    spent = run.cpu(process.pid) - before
    find = lambda pattern: next((int(line.split(pattern)[0].split()[-1] if pattern == " requests in" else line.split(":")[1])
                                 for line in out.splitlines() if pattern in line), 0)
    count = find(" requests in")
    if not count:
        raise RuntimeError("no answers: " + out[-300:])
    return {"us": spent / count, "n": count, "errors": find("Non-2xx")}


def fresh_script(folder, iam, count, number):
    """wrk sends each of these tokens once and stops."""
    path = os.path.join(folder, f"fresh-{number}.lua")
    with open(path, "w") as out:
        out.write("tokens = {\n")
        for at in range(count):
            out.write(f'"{iam.signers[-1].token(f"{number}-{at}")}",\n')
        out.write("}\nat = 0\nanswers = 0\n"
                  "function request()\n  at = at % #tokens + 1\n"
                  '  return wrk.format("GET", "/locked", {Authorization = "Bearer " .. tokens[at]})\nend\n'
                  "function response()\n  answers = answers + 1\n  if answers >= #tokens - 64 then wrk.thread:stop() end\nend\n")
    return path


def costs(folder, iam, up, options, samples):
    tokens = {"jwt": iam.signers[-1].token("ada"), "key": KEY, "opaque": OPAQUE, "bad": "sk-hanzo-nobody", None: None}
    for number in range(options.rounds):
        process, port = gateway(folder, iam, up, options, "5m")
        try:
            wrk(process, port, "/open", options)
            for title, path, way in WAYS:
                samples.setdefault(title, []).append(wrk(process, port, path, options, tokens[way]))
            script = fresh_script(folder, iam, options.fresh, number)
            samples.setdefault("fresh token (RS256)", []).append(wrk(process, port, "/locked", options, script=script))
        finally:
            run.end(process)
        print(f"round {number + 1}", file=sys.stderr)


class Callers:
    """Threads that ask one after the other with the same credentials."""

    def __init__(self, port, shown):
        self.statuses, self.stop = collections.Counter(), False
        self.threads = [threading.Thread(target=self.go_on, args=(port, one), daemon=True) for one in shown]
        for thread in self.threads:
            thread.start()

    def go_on(self, port, shown):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        while not self.stop:
            connection.request("GET", "/locked", headers={"Authorization": "Bearer " + shown()})
            answer = connection.getresponse()
            answer.read()
            self.statuses[answer.status] += 1

    def end(self):
        self.stop = True
        for thread in self.threads:
            thread.join(30)
        return dict(self.statuses)


def troubles(folder, iam, up, options):
    """What callers get while the identity service is in trouble."""
    rows = []
    process, port = gateway(folder, iam, up, options, "1s")
    try:
        callers = Callers(port, [lambda: iam.signers[-1].token(f"user-{time.monotonic_ns()}")] * 2)
        for number in (2, 3):
            time.sleep(1)
            iam.signers.append(Signer(number))
            # A key that nobody knows makes the gateway ask at most every ten seconds.
            time.sleep(11)
        rows.append(("keys rotate twice, each token fresh", callers.end(), ask(port, iam.signers[0].token("old"))))
        token = iam.signers[-1].token("ada")
        shown = [lambda: token, lambda: KEY, lambda: OPAQUE] * 2
        for title, hurt, heal in [("the service falls silent", lambda: setattr(iam, "silent", True),
                                   lambda: setattr(iam, "silent", False)),
                                  ("the service dies and comes back", iam.stop, iam.start)]:
            callers = Callers(port, shown)
            time.sleep(2)
            hurt()
            time.sleep(4)
            stranger = ask(port, f"sk-hanzo-load-{title[-4:]}")
            heal()
            time.sleep(2)
            rows.append((title, callers.end(), stranger))
    finally:
        run.end(process)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", type=os.path.abspath, required=True, help="the gateway's binary")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--secs", type=int, default=2, help="length of a window")
    parser.add_argument("--conns", type=int, default=32)
    parser.add_argument("--fresh", type=int, default=3000, help="tokens that are sent once, each round")
    parser.add_argument("--json", help="write all samples here")
    options = parser.parse_args()
    run.needs("nginx", "wrk", "openssl")
    run.ends_within(run.LIMIT)
    samples, rows = {}, []
    with tempfile.TemporaryDirectory(prefix="load-iam-") as folder:
        os.chmod(folder, 0o755)
        port = run.free_port()
        try:
            upstream = run.start_upstream(folder + "/upstream", port)
            run.await_200(port, upstream, folder + "/upstream")
            iam = Iam()
            costs(folder, iam, f"127.0.0.1:{port}", options, samples)
            rows = troubles(folder, iam, f"127.0.0.1:{port}", options)
        finally:
            for process in list(run.started):
                run.end(process)
    base = samples["open"]
    print(f"{options.rounds} rounds of {options.secs} s, {options.conns} connections, load average {os.getloadavg()[0]:.1f}\n")
    print(f"{'GET 1 KiB':28} {'CPU us':>8} {'vs open':>9} {'more us':>9} {'requests':>10} {'not 2xx':>9}")
    for title, found in samples.items():
        ratio = statistics.median(one["us"] / open_["us"] for one, open_ in zip(found, base))
        more = statistics.median(one["us"] - open_["us"] for one, open_ in zip(found, base))
        print(f"  {title:26} {statistics.median(one['us'] for one in found):8.1f} {ratio:8.2f}x {more:9.1f} "
              f"{sum(one['n'] for one in found):10} {sum(one['errors'] for one in found):9}")
    print(f"\n{'in trouble':38} {'those who are remembered':34} stranger")
    for title, statuses, stranger in rows:
        told = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
        print(f"  {title:36} {told:34} {stranger}")
    if options.json:
        json.dump({"samples": samples, "troubles": rows}, open(options.json, "w"), indent=1)
    sys.exit(0 if all(set(statuses) == {200} for _, statuses, _ in rows) else 1)


if __name__ == "__main__":
    main()
