//! A request and an answer as stages of the pipe see them: owned, so that a script may change anything.
//! The same two types serve three places: around an endpoint's whole pipe, around one backend's call,
//! and around the exchange on the wire.
//!
//! Differs from KrakenD: the body of a request is there as a whole (bounded by the body limit), so no
//! stage can steal it from the next.

use crate::base::{Dialect, Error, Reason};
use crate::body::Data;
use crate::gateway::ctx::Ctx;
use crate::gateway::head::{BodySize, Head};
use crate::gateway::headers::Fields;
use crate::gateway::identity::Minted;
use crate::net::{Certificate, Incoming};
use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::net::IpAddr;
use std::sync::Arc;

/// A request on its way to the backends.
#[derive(Clone, Debug)]
pub struct Request {
    /// The client's method around the pipe, the backend's below.
    pub method: Method,
    /// Decoded path: the client's around the pipe, below what the backend's pattern became.
    pub path: String,
    /// The URL that will be called; empty around the pipe, where no host is chosen yet. Below, this is what
    /// counts: path and query there are for reading only.
    pub url: String,
    /// The query, encoded, with what the filters let through.
    pub query: String,
    /// Parameters by key: the name with its first character in title case.
    pub params: Vec<(String, String)>,
    /// Fields that passed the filters and those of the gateway.
    pub headers: Fields,
    /// The body; `None` when the client sent none.
    pub body: Option<Bytes>,
}

impl Request {
    /// The first value of a field.
    pub fn header(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.headers
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value)
    }

    /// Replaces every field of this name by one.
    pub fn set_header(&mut self, name: HeaderName, value: HeaderValue) {
        self.remove_header(&name);
        self.headers.push((name, value));
    }

    /// Takes every field of this name away.
    pub fn remove_header(&mut self, name: &HeaderName) {
        self.headers.retain(|(own, _)| own != name);
    }

    /// A parameter by its key.
    pub fn param(&self, key: &str) -> Option<&str> {
        self.params
            .iter()
            .find(|(own, _)| own == key)
            .map(|(_, value)| value.as_str())
    }

    /// Sets a parameter.
    pub fn set_param(&mut self, key: &str, value: String) {
        match self.params.iter_mut().find(|(own, _)| own == key) {
            Some((_, old)) => *old = value,
            None => self.params.push((key.to_owned(), value)),
        }
    }
}

/// A client's request as a stage at its head rewrote it, before any field is selected for the backends. It takes
/// the place of the client's own head ([`Ctx::rewritten`]); the route stays what it was.
///
/// [`Ctx::rewritten`]: crate::gateway::ctx::Ctx::rewritten
#[derive(Clone, Debug)]
pub struct Rewritten {
    /// Method.
    pub method: Method,
    /// Path, percent-encoded.
    pub path: Vec<u8>,
    /// Query without `?`; `None` without one.
    pub query: Option<Vec<u8>>,
    /// The authority that was asked for.
    pub host: Vec<u8>,
    /// Every field.
    pub fields: Fields,
    /// Parameters by name as the endpoint writes them; `None` while they are the path's.
    pub params: Option<Vec<(String, String)>>,
    /// The body, where it was read for a stage ([`HeadStage::reads_body`]).
    ///
    /// [`HeadStage::reads_body`]: crate::gateway::stage::HeadStage::reads_body
    pub body: BodyRead,
    peer: IpAddr,
    secure: bool,
    certificate: Option<Arc<Certificate>>,
    version: &'static str,
}

/// What became of a client's body before the pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyRead {
    /// Not read yet, of this size.
    Not(BodySize),
    /// Read, or replaced by a stage; `None` for no body.
    Whole(Option<Bytes>),
}

impl Rewritten {
    /// A copy of what the client sent, as far as it may be believed: what its caller proved stands in place of what
    /// it says of itself, and natively fields that only this gateway mints are no client's to send.
    pub fn believed(head: &dyn Head, ctx: &Ctx) -> Self {
        let mut own = Self::of(head);
        if ctx.gateway.dialect == Dialect::Native {
            let strip = &ctx.gateway.service.strip;
            // Credentials are looked at behind service-level scripts.
            let credential = |name: &HeaderName| [AUTHORIZATION, COOKIE].contains(name);
            own.fields
                .retain(|(name, _)| credential(name) || !strip.contains(name.as_str()));
        }
        if let Some(identity) = &ctx.identity {
            own.tell(&identity.minted);
        }
        own
    }

    /// Puts minted fields in place of those of the same names.
    pub fn tell(&mut self, minted: &[Minted]) {
        for field in minted {
            self.fields.retain(|(name, _)| *name != field.name);
            let values = field.values.iter().cloned();
            let fields = values.map(|value| (field.name.clone(), value));
            self.fields.extend(fields);
        }
    }

    /// A copy of what the client sent.
    pub fn of(head: &dyn Head) -> Self {
        let mut fields = Fields::new();
        head.each(&mut |name, value| {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
                fields.push((name, value));
            }
        });
        Self {
            method: head.method().clone(),
            path: head.path().to_vec(),
            query: head.query().map(<[u8]>::to_vec),
            host: head.host().to_vec(),
            fields,
            params: None,
            body: BodyRead::Not(head.body()),
            peer: head.peer(),
            secure: head.secure(),
            certificate: head.certificate().cloned(),
            version: head.version(),
        }
    }
}

impl Head for Rewritten {
    fn method(&self) -> &Method {
        &self.method
    }

    fn path(&self) -> &[u8] {
        &self.path
    }

    fn query(&self) -> Option<&[u8]> {
        self.query.as_deref()
    }

    fn host(&self) -> &[u8] {
        &self.host
    }

    fn header(&self, name: &HeaderName) -> Option<&[u8]> {
        let field = self.fields.iter().find(|(own, _)| own == name)?;
        Some(field.1.as_bytes())
    }

    fn each(&self, each: &mut dyn FnMut(&str, &[u8])) {
        for (name, value) in &self.fields {
            each(name.as_str(), value.as_bytes());
        }
    }

    fn peer(&self) -> IpAddr {
        self.peer
    }

    fn secure(&self) -> bool {
        self.secure
    }

    fn certificate(&self) -> Option<&Arc<Certificate>> {
        self.certificate.as_ref()
    }

    fn version(&self) -> &'static str {
        self.version
    }

    fn body(&self) -> BodySize {
        match &self.body {
            BodyRead::Not(size) => *size,
            BodyRead::Whole(None) => BodySize::None,
            BodyRead::Whole(Some(bytes)) => BodySize::Known(bytes.len() as u64),
        }
    }
}

/// What came of a request.
#[derive(Debug, Default)]
pub struct Answer {
    /// Decoded data; an empty object where the body passes as it is (`no-op`).
    pub data: Data,
    /// Whether nothing is missing.
    pub complete: bool,
    /// The backend's status where it counts (`no-op`, and on the wire), or what a stage set; 0 for neither.
    pub status: u16,
    /// The backend's fields where they count, or what a stage set.
    pub headers: HeaderMap,
    /// The body as it is (`no-op`, and on the wire).
    pub body: AnswerBody,
}

/// A body that was not decoded.
#[derive(Debug, Default)]
pub enum AnswerBody {
    /// None: the data is the answer.
    #[default]
    Empty,
    /// All of it.
    Full(Bytes),
    /// Still arriving.
    Stream(Box<Incoming>),
}

impl Answer {
    /// The body as a whole; reads what is still arriving.
    ///
    /// # Errors
    /// What the connection died of, or [`Reason::BackendInvalid`] beyond `limit` bytes.
    pub async fn collect(&mut self, limit: usize) -> Result<Bytes, Error> {
        let bytes = match std::mem::take(&mut self.body) {
            AnswerBody::Empty => Bytes::new(),
            AnswerBody::Full(bytes) if bytes.len() > limit => {
                return Err(Error::new(Reason::BackendInvalid, "body too large"));
            }
            AnswerBody::Full(bytes) => bytes,
            AnswerBody::Stream(incoming) => incoming.collect(limit).await.map_err(Error::from)?,
        };
        self.body = AnswerBody::Full(bytes.clone());
        Ok(bytes)
    }
}
