//! The compiled house: what a request meets, made once from the document and never changed, and the
//! pure rules that every lane shares.

pub mod affinity;
pub mod charge;
pub mod client_ip;
pub mod ctx;
pub mod gate;
pub mod head;
pub mod headers;
pub mod health;
pub mod host_rules;
pub mod http1;
pub mod identity;
pub mod kept;
pub mod lane;
pub mod limits;
pub mod live;
pub mod message;
pub mod params;
pub mod path;
pub mod pattern;
pub mod plain;
pub mod query;
pub mod rate_fields;
pub mod rate_limit;
pub mod regions;
pub mod request_id;
pub mod retry;
pub mod router;
pub mod snapshot;
pub mod split;
pub mod stage;
pub mod task;
pub mod told;
