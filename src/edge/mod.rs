//! The front door: reads every HTTP/1 head itself, under one deadline and with RFC 9112's strictness,
//! counts connections, and hands what is clean to Pingora's proxy on the same connection.
//!
//! Why not leave it to Pingora: it has no total header deadline (60 s per read), takes bare LF and
//! `Content-Length` beside `Transfer-Encoding`, fixes its header limits at 1 MiB, waits for 24 bytes
//! before it knows HTTP/2 from HTTP/1 on a cleartext port, and has no connection limits.

pub mod answer;
pub mod body;
pub mod chunks;
pub mod connections;
pub mod door;
pub mod down;
pub mod duplex;
pub mod gather;
pub mod head;
pub mod lane;
pub mod line;
pub mod reader;
pub mod room;
pub mod timer;
pub mod wire;
