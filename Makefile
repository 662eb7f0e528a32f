# Two commands to know: `make run` shows the gateway at work, `make test` proves it.

CARGO ?= cargo
# Where `make install` goes.
PREFIX ?= /usr/local
DESTDIR ?=
# The conformance and differential suites live beside the checkout.
SUITES ?= ../shared
# The lanes (`--lane` of `run`) that whole-gateway tests are played with, one after the other; empty: once,
# with what the binary does by itself.
LANES ?= auto off
# How long each fuzz target runs.
FUZZ_SECONDS ?= 60
TARGET := $(or $(CARGO_TARGET_DIR),target)

.DEFAULT_GOAL := help
.PHONY: help setup run test lint format format-check clippy deny house bench bench-load bench-load-pairs bench-load-lines bench-load-h2 bench-load-idle bench-load-slow bench-load-chaos bench-load-iam bench-load-shared bench-load-callers profile fuzz conformance differential install clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what a build needs, if it is missing
	@scripts/setup.sh

run: setup ## build and start the demo: a gateway with backends to play with
	@$(CARGO) run --profile quick-release --bin hanzo-gateway -- demo

test: setup ## unit tests, and whole-gateway tests on the real binary
	@failed=0; \
	$(CARGO) test --lib || failed=1; \
	for lane in $(or $(LANES),''); do \
	  echo "== whole-gateway tests, lane: $${lane:-as it is by default}"; \
	  HANZO_TEST_LANE=$$lane $(CARGO) test --test main || failed=1; \
	done; exit $$failed

lint: setup format-check clippy deny house ## all that a machine can say about style

format: setup ## format all code
	@$(CARGO) fmt
	@$(CARGO) fmt --manifest-path fuzz/Cargo.toml

format-check:
	@$(CARGO) fmt --check
	@$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml

# The fuzz targets are read only, not linked: that needs neither nightly Rust nor a C++ compiler.
clippy:
	@$(CARGO) clippy --all-targets --quiet -- -D warnings
	@CUSTOM_LIBFUZZER_PATH=./unlinked $(CARGO) clippy --locked --manifest-path fuzz/Cargo.toml --target-dir $(TARGET) \
	  --all-targets --quiet -- -D warnings

deny:
	@scripts/deny.sh

house:
	@$(CARGO) test --quiet --test main house::

bench: setup ## micro benchmarks
	@$(CARGO) bench --bench main

bench-load: setup ## requests over loopback: the gateway, plain Pingora and nginx side by side
	@$(CARGO) build --release --bin hanzo-gateway --example bare
	@python3 benches/load/run.py --gateway $(TARGET)/release/hanzo-gateway --bare $(TARGET)/release/examples/bare

bench-load-pairs: setup ## the gateway, with and without limits, beside nginx, to a few percent
	@$(CARGO) build --release --bin hanzo-gateway
	@python3 benches/load/pairs.py --gateway $(TARGET)/release/hanzo-gateway

bench-load-lines: setup ## cache lines and instructions of a request, counted, beside nginx (needs valgrind)
	@$(CARGO) build --release --bin hanzo-gateway
	@python3 benches/load/lines.py --gateway $(TARGET)/release/hanzo-gateway

bench-load-h2: setup ## requests of HTTP/2 clients: the gateway beside nginx
	@$(CARGO) build --profile quick-release --bin hanzo-gateway
	@python3 benches/load/h2.py --gateway $(TARGET)/quick-release/hanzo-gateway

bench-load-idle: setup ## memory of 10,000 idle connections
	@$(CARGO) build --profile quick-release --bin hanzo-gateway
	@python3 benches/load/idle.py --gateway $(TARGET)/quick-release/hanzo-gateway

bench-load-slow: setup ## memory of 5,000 slow readers, and what others notice of them
	@$(CARGO) build --profile quick-release --bin hanzo-gateway
	@python3 benches/load/slow.py --gateway $(TARGET)/quick-release/hanzo-gateway

bench-load-chaos: setup ## backends that misbehave under load, and what others notice of them
	@$(CARGO) build --profile quick-release --bin hanzo-gateway
	@python3 benches/load/chaos.py --gateway $(TARGET)/quick-release/hanzo-gateway

bench-load-iam: setup ## what it costs to know who is calling, and what callers notice of a sick identity service
	@$(CARGO) build --profile quick-release --bin hanzo-gateway
	@python3 benches/load/iam.py --gateway $(TARGET)/quick-release/hanzo-gateway

bench-load-shared: setup ## limits that three gateways share: overshoot, calls, accidents of the store
	@$(CARGO) build --profile quick-release --bin hanzo-gateway
	@python3 benches/load/shared.py --gateway $(TARGET)/quick-release/hanzo-gateway

bench-load-callers: setup ## memory of a million callers of one limit, without a store and with one
	@$(CARGO) build --profile quick-release --bin hanzo-gateway
	@python3 benches/load/callers.py --gateway $(TARGET)/quick-release/hanzo-gateway

profile: setup ## record anew what is hot, for release builds (half an hour; needs nginx, wrk, h2load, openssl)
	@scripts/profile.sh

# The backend of `lanes` has threads of its own; one that just begins or ends looks like a leak.
fuzz: ## every fuzz target for FUZZ_SECONDS (needs nightly Rust and cargo-fuzz)
	@$(CARGO) fuzz --version >/dev/null 2>&1 || { echo "cargo-fuzz is missing: cargo install --locked cargo-fuzz"; exit 1; }
	@for target in $$($(CARGO) +nightly fuzz list); do \
	  case $$target in lanes) leaks=0 ;; *) leaks=1 ;; esac; \
	  mkdir -p fuzz/corpus/$$target && \
	  ASAN_OPTIONS=detect_leaks=$$leaks $(CARGO) +nightly fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
	    -max_total_time=$(FUZZ_SECONDS) -timeout=10 || exit 1; \
	done

conformance: setup ## KrakenD's own integration specs
	@$(CARGO) build --bin hanzo-gateway
	@SUITES=$(SUITES) scripts/suite.sh conformance $(TARGET)/debug/hanzo-gateway

differential: setup ## recorded answers of KrakenD
	@$(CARGO) build --bin hanzo-gateway
	@SUITES=$(SUITES) scripts/suite.sh differential $(TARGET)/debug/hanzo-gateway

install: setup ## install the binary and the systemd unit below PREFIX
	@$(CARGO) build --release --bin hanzo-gateway
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/systemd/system
	install -m 755 $(TARGET)/release/hanzo-gateway $(DESTDIR)$(PREFIX)/bin/hanzo-gateway
	sed 's|/usr/bin/|$(PREFIX)/bin/|' systemd/hanzo-gateway.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/hanzo-gateway.service

clean: ## remove what was built
	@$(CARGO) clean
