//! All tests that need the whole gateway, in one binary: one link instead of twenty.
//!
//! A test reads as a sentence: `origin → gateway(config) → client → assert`. What it is told with
//! stands in `support`; `house` holds the walls of `src/`; each further module is a capability.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that cannot go on says so by panicking, and the harness waits on threads and its own environment"
)]

mod docs;
mod house;
mod support;
mod wire;

mod auth_chain;
mod auth_jwt;
mod auth_mtls;
mod auth_outbound;
mod auth_revoker;
mod auth_signer;
mod auth_static;
mod auth_strip;
mod balancing;
mod breaker;
mod chaos;
mod client;
mod commands;
mod composing;
mod configuration;
mod corpus;
mod demo;
mod dns;
mod edge;
mod forwarding;
mod framing;
mod graphql;
mod http2;
mod lanes;
mod limit_fields;
mod limits;
mod lua;
mod martian;
mod overload;
mod pipe;
mod ratelimit;
mod readers;
mod regions;
mod routing;
mod secrets;
mod security;
mod serving;
mod shared;
mod split;
mod stats;
mod streaming;
mod telemetry;
mod templates;
mod tls;
mod validation;
