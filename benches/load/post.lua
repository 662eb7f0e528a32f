-- wrk: POST 1 KiB.
wrk.method = "POST"
wrk.body = string.rep("x", 1024)
wrk.headers["content-type"] = "text/plain"
