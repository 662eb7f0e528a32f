#!/usr/bin/env python3
"""Who is cheaper, to a few percent: gateways and nginx at the same time, loaded in turn.

    benches/load/pairs.py --gateway BINARY [--gateway OTHER ...] [--rounds 25] [--secs 1] [--json FILE]

run.py starts one proxy after the other, so what the machine does meanwhile is in its ratios. Here all of them run, with
one worker each on the first core, and those that are not loaded sleep. A round is one short window for each, in
another order each time; each window is divided by nginx's of its round, and the median of these ratios is told with
its quartiles. Every gateway runs twice: as it is, and with limits at three levels, breakers and CORS on each route.

The last window is not a closed loop: --rate requests a second over 20 connections, three times as long.

Loopback only, Python's standard library only; needs nginx, wrk and h2load. Ends by itself after ten minutes.
"""
import argparse, json, os, re, shutil, statistics, subprocess, sys, tempfile

import run

WINDOWS = [window for window in run.WINDOWS if window[1] != "/agg"]


def paced(port, rate, secs):
    """Requests answered of a constant rate."""
    command = [shutil.which("h2load", path=run.PATH), "--h1", "-t1", "-c20", f"--rps={rate / 20:g}", f"-D{secs}",
               f"http://127.0.0.1:{port}/1k"]
    out = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=secs + 20,
                         preexec_fn=lambda: os.sched_setaffinity(0, run.OTHERS)).stdout
    done = re.search(r"(\d+) succeeded, (\d+) failed", out)
    if not done or int(done[2]) or not int(done[1]):
        raise RuntimeError(f"requests failed: {out[-300:]}")
    return int(done[1])


def measure(process, port, window, options):
    """CPU microseconds of a request."""
    title, path, method = window
    before = run.cpu(process.pid)
    if method is None:
        count = paced(port, options.rate, options.secs * 3)
    else:
        got = run.generate(port, path, method, options.secs, options.conns)
        if got["errors"] or not got["n"]:
            raise RuntimeError(f"{title}: {got}")
        count = got["n"]
    return (run.cpu(process.pid) - before) / count


def report(names, windows, samples):
    for title, _, _ in windows:
        print(f"{title:26} {'CPU µs':>8} {'of nginx':>9}  quartiles")
        base = samples["nginx", title]
        for name in names:
            ratios = [one / other for one, other in zip(samples[name, title], base)]
            low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
            print(f"  {name:24} {statistics.median(samples[name, title]):8.2f} {middle:8.3f}×  {low:.3f} to {high:.3f}")
        print()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", type=os.path.abspath, action="append", required=True, help="a gateway's binary")
    parser.add_argument("--template", default=os.path.join(run.HERE, "gateway.tmpl.json"))
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--secs", type=int, default=1, help="length of a window")
    parser.add_argument("--conns", type=int, default=32)
    parser.add_argument("--rate", type=int, default=1000, help="requests a second of the last window")
    parser.add_argument("--json", help="write all samples here")
    options = parser.parse_args()
    run.needs("nginx", "wrk", "h2load")
    run.ends_within(run.LIMIT)

    windows = [*WINDOWS, (f"GET 1 KiB, {options.rate}/s", "/1k", None)]
    samples, peers = {}, {}
    with tempfile.TemporaryDirectory(prefix="pairs-") as folder:
        os.chmod(folder, 0o755)
        up = run.free_port()

        def start(name, make, **more):
            own, port = tempfile.mkdtemp(prefix="peer-", dir=folder), run.free_port()
            os.chmod(own, 0o755)
            command, env = make(own, port, f"127.0.0.1:{up}", argparse.Namespace(
                template=options.template, arguments="--threads 1 --metrics off", **more))
            process = run.spawn(command, run.PROXY, own, {"PATH": run.PATH, **env})
            run.await_200(port, process, own)
            peers[name] = process, port
        try:
            run.await_200(up, run.start_upstream(folder + "/upstream", up), folder + "/upstream")
            start("nginx", run.start_nginx)
            for at, binary in enumerate(options.gateway):
                name = "gateway" if len(options.gateway) == 1 else f"gateway {at + 1}"
                start(name, run.start_gateway, gateway=binary, policies=False)
                start(f"{name}, policies", run.start_gateway, gateway=binary, policies=True)
            names = list(peers)
            for turn in range(options.rounds):
                for window in windows:
                    for at in range(len(names)):
                        name = names[(turn + at) % len(names)]
                        samples.setdefault((name, window[0]), []).append(measure(*peers[name], window, options))
                print(f"round {turn + 1} of {options.rounds}", file=sys.stderr)
        finally:
            for process in list(run.started):
                run.end(process)
    print(f"{options.rounds} rounds of {options.secs} s, {options.conns} connections, load average {os.getloadavg()[0]:.1f}\n")
    report(names, windows, samples)
    if options.json:
        json.dump({f"{name}: {title}": values for (name, title), values in samples.items()}, open(options.json, "w"), indent=1)


if __name__ == "__main__":
    main()
