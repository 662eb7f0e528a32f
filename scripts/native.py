#!/usr/bin/env python3
"""Holds the native dialect to what the contract says of it: every difference from the reference's answers
must be one that a row explains.

    native.py LOG LIST

LOG is what the differential suite printed with -v in the native dialect, LIST names the differences that the
rules below do not explain by themselves, one a line: case, request, member, row, and "sometimes" for one that is
a matter of time. Ends with 1 when a difference is not explained, or when the list names one that is not there any
more."""

import json
import re
import sys

# What the gateway says of itself and of the request, on answers and towards backends.
OWN = {"X-Gateway-Version", "X-Krakend", "X-Request-Id"}
# What an error of the gateway's own consists of.
ERROR = {
    "status", "body", "Allow", "Cache-Control", "Content-Type", "Proxy-Status", "Retry-After",
    "X-Content-Type-Options", "X-Krakend-Completed", "Www-Authenticate"}
# How a limit stands, on every answer of a limited route.
LIMITS = {
    "X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset", "Ratelimit", "Ratelimit-Policy",
}
LINE = re.compile(r"open/(\S+): (?:(.+?)\.)?(?:header )?([\w-]+): (.*)$")


def differences(log):
    """The differences by case and request, each with its member and what was found."""
    found = {}
    for line in open(log, encoding="utf-8"):
        match = LINE.match(line.rstrip("\n"))
        if match:
            case, request, member, text = match.groups()
            found.setdefault((case, request or "-"), []).append((member, text))
    return found


def row(member, text, whole):
    """The row of the contract that explains a difference, if a rule does."""
    ours = '"error"' in whole and '"request_id"' in whole or "Proxy-Status" in whole
    if member in OWN:
        return "identification" if member != "X-Request-Id" else "request-id"
    if member in LIMITS:
        return "limits"
    if ours and member in ERROR:
        return "errors"
    if member == "Cache-Control" and text.startswith('["no-store"]'):
        # Redirects and answers of the gateway's own carry it as errors do.
        return "errors"
    if member == "body" and same_but_for_fields(text):
        return "forwarding-headers"
    return None


# What the gateway adds for backends, and how a body is framed.
ADDED = {
    "User-Agent", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Gateway-Version",
    "X-Request-Id", "Content-Length",
}


def same_but_for_fields(text):
    """Whether two answers of a backend that tells what it was sent differ in the gateway's own fields only."""
    ours, found, reference = text.partition(", reference ")
    try:
        both = [json.loads(ours), json.loads(reference)] if found else []
    except ValueError:
        return False
    for one in both:
        if not isinstance(one, dict) or not isinstance(one.get("headers"), dict):
            return False
        one["headers"] = {name: v for name, v in one["headers"].items() if name not in ADDED}
        # POST bodies: their length is kept where it is known.
        for framing in ("transfer_encoding", "content_length", "chunked"):
            one.pop(framing, None)
    return bool(both) and both[0] == both[1]


def main():
    log, listed = sys.argv[1:3]
    known, sometimes = {}, set()
    for line in open(listed, encoding="utf-8"):
        words = line.split("#")[0].split()
        if words:
            known[tuple(words[:3])] = words[3]
            if words[4:] == ["sometimes"]:
                sometimes.add(tuple(words[:3]))
    counts, strange, seen = {}, [], set()
    for (case, request), members in differences(log).items():
        whole = "".join(f"{member}: {text}" for member, text in members).replace("\\", "")
        for member, text in members:
            place = (case, request, member)
            why = row(member, text, whole)
            if why is None:
                why = known.get(place)
                seen.add(place)
            if why is None:
                strange.append(f"{case} {request} {member}: {text[:200]}")
            else:
                counts[why] = counts.get(why, 0) + 1
    gone = [" ".join(place) for place in known if place not in seen | sometimes]
    for why in sorted(counts):
        print(f"{counts[why]:5} {why}")
    for line in strange:
        print(f"not explained: {line}")
    for line in gone:
        print(f"listed, but not there: {line}")
    print(f"{sum(counts.values())} explained, {len(strange) + len(gone)} not")
    return 1 if strange or gone else 0


if __name__ == "__main__":
    sys.exit(main())
