//! hanzo-gateway: an API gateway that reads KrakenD v3 configuration unchanged, on Pingora.
//!
//! The floor plan. Two wings, a *drawing* wing that reads and checks the document and a *running*
//! wing that serves requests; one corridor, `compile`, joins them. Rooms stand in one order and a
//! room imports only from rooms to its left (`tests/house.rs` holds it):
//!
//! `base · body · net · telemetry · gateway · identity · traffic · pipe · proxy · edge · config ·
//! component · compile · serve · demo · cli`
//!
//! with two bans besides: `config` imports only `base`; `component` never imports `proxy` or `edge`.
//! `docs/ARCHITECTURE.md` says why.
#![forbid(unsafe_code)]

pub mod base;

pub mod body;

pub mod net;

pub mod telemetry;

pub mod gateway;

pub mod identity;

pub mod traffic;

pub mod pipe;

pub mod proxy;

pub mod edge;

pub mod config;

pub mod component;

pub mod compile;

pub mod serve;

pub mod demo;

pub mod cli;
