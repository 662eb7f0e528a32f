//! The two messages under modification: the request before it leaves and the answer before it is looked at,
//! with the parts that are no fields (`Host`, length, framing).

use super::tree::asked;
use super::{Field, Head, Served, fault};
use crate::base::{Dialect, Error};
use crate::gateway::message::{Answer, AnswerBody, Request};
use crate::gateway::path::go_quote;
use bytes::Bytes;
use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HOST, TRANSFER_ENCODING,
    USER_AGENT,
};
use http::{HeaderName, HeaderValue};

/// What Go's client calls itself when no field says otherwise.
const GO_USER_AGENT: HeaderValue = HeaderValue::from_static("Go-http-client/1.1");
const EMPTY: HeaderValue = HeaderValue::from_static("");

/// A request that is being changed.
pub(super) struct Outbound<'a> {
    pub(super) request: &'a mut Request,
    dialect: Dialect,
    /// The host, once something has set it; empty for the URL's.
    host: Option<HeaderValue>,
    /// The length, once something has set it.
    length: Option<i64>,
    transfer: Vec<HeaderValue>,
    skip: bool,
}

impl<'a> Outbound<'a> {
    pub(super) fn new(request: &'a mut Request, dialect: Dialect) -> Self {
        Self {
            request,
            dialect,
            host: None,
            length: None,
            transfer: Vec::new(),
            skip: false,
        }
    }

    /// Replaces a field that is none of the special ones.
    pub(super) fn put(&mut self, name: &HeaderName, value: HeaderValue) {
        self.request.set_header(name.clone(), value);
    }

    /// Takes away a field that is none of the special ones.
    pub(super) fn drop(&mut self, name: &HeaderName) {
        self.request.remove_header(name);
    }

    /// Whether the native dialect is spoken.
    pub(super) fn native(&self) -> bool {
        self.dialect == Dialect::Native
    }

    /// Replaces the body.
    pub(super) fn body(&mut self, body: Bytes) {
        self.length = Some(i64::try_from(body.len()).unwrap_or(i64::MAX));
        self.request.body = Some(body);
    }

    /// Replaces the URL. `Host` stays what it was: it belongs to the request, not to its URL.
    pub(super) fn go_to(&mut self, url: String) {
        if self.host.is_none()
            && super::url::authority(&url) != super::url::authority(&self.request.url)
        {
            self.host = Some(self.current_host());
        }
        self.request.url = url;
    }

    /// `header.Id`: a random UUID, unless the field is there already.
    pub(super) fn identify(&mut self, name: &HeaderName) {
        if self.request.header(name).is_some_and(|own| !own.is_empty()) {
            return;
        }
        if let Ok(value) = HeaderValue::from_str(&super::names::uuid()) {
            self.put(name, value);
        }
    }

    /// `stash.Modifier`: the URL becomes a field.
    pub(super) fn stash(&mut self, name: &HeaderName) -> Result<(), Error> {
        let value = HeaderValue::from_str(&self.request.url).map_err(|_| {
            fault(format!(
                "net/http: invalid header field value for \"{name}\""
            ))
        })?;
        self.put(name, value);
        Ok(())
    }

    /// `static.Modifier`: no backend is called.
    pub(super) fn skip(&mut self) {
        self.skip = true;
        if let Some(rest) = self.request.url.strip_prefix("https:") {
            self.request.url = format!("http:{rest}");
        }
    }

    /// Writes what is left to write; tells whether the backend's call is left out.
    pub(super) fn finish(self) -> Result<bool, Error> {
        let Self {
            request,
            dialect,
            host,
            length,
            transfer,
            skip,
        } = self;
        if let Some(host) = host {
            request.remove_header(&HOST);
            if !host.is_empty() {
                request.headers.push((HOST, host));
            }
        }
        if let Some(length) = length {
            let body = request.body.as_ref().map_or(0, Bytes::len);
            let right = i64::try_from(body).is_ok_and(|body| body == length);
            if length > 0 && !right {
                return Err(fault(format!(
                    "http: ContentLength={length} with Body length {body}"
                )));
            }
            request.remove_header(&CONTENT_LENGTH);
            if length > 0 {
                request
                    .headers
                    .push((CONTENT_LENGTH, HeaderValue::from(length)));
            }
        }
        if transfer.first().is_some_and(|first| first == "chunked") {
            request.remove_header(&CONTENT_LENGTH);
        }
        if dialect == Dialect::Krakend {
            match request.header(&USER_AGENT) {
                None => request.headers.push((USER_AGENT, GO_USER_AGENT)),
                Some(own) if own.is_empty() => request.remove_header(&USER_AGENT),
                Some(_) => {}
            }
        }
        Ok(skip)
    }

    fn current_host(&self) -> HeaderValue {
        if let Some(host) = &self.host {
            return host.clone();
        }
        if let Some(host) = self.request.header(&HOST) {
            return host.clone();
        }
        HeaderValue::from_str(super::url::authority(&self.request.url)).unwrap_or(EMPTY)
    }

    /// The length as far as it is known: KrakenD knows one only when the field was forwarded.
    fn current_length(&self) -> i64 {
        if let Some(length) = self.length {
            return length;
        }
        let told = self.request.header(&CONTENT_LENGTH).and_then(number);
        let known = || match (&self.request.body, self.dialect) {
            (Some(body), Dialect::Native) => i64::try_from(body.len()).unwrap_or(i64::MAX),
            _ => 0,
        };
        told.unwrap_or_else(known)
    }
}

impl Head for Outbound<'_> {
    fn first(&self, field: &Field) -> HeaderValue {
        match field {
            Field::Host => self.current_host(),
            Field::Length => written(self.current_length()),
            Field::Transfer => self.transfer.first().cloned().unwrap_or(EMPTY),
            Field::Named(name) => self.request.header(name).cloned().unwrap_or(EMPTY),
        }
    }

    fn any(&self, field: &Field, value: &HeaderValue) -> bool {
        match field {
            Field::Host => {
                let host = self.current_host();
                !host.is_empty() && host == value
            }
            Field::Length => {
                let length = self.current_length();
                length > 0 && HeaderValue::from(length) == value
            }
            Field::Transfer => self.transfer.contains(value),
            Field::Named(name) => {
                let mut fields = self.request.headers.iter();
                fields.any(|(own, there)| own == name && there == value)
            }
        }
    }

    fn set(&mut self, field: &Field, value: HeaderValue) -> Result<(), Error> {
        match field {
            Field::Host => self.host = Some(value),
            Field::Length => self.length = Some(parsed(&value)?),
            Field::Transfer => self.transfer = vec![value],
            Field::Named(name) => self.request.set_header(name.clone(), value),
        }
        Ok(())
    }

    fn add(&mut self, field: &Field, value: HeaderValue) -> Result<(), Error> {
        match field {
            Field::Host if !self.current_host().is_empty() => Err(multiple("Host")),
            Field::Length if self.current_length() > 0 => Err(multiple("Content-Length")),
            Field::Host | Field::Length => self.set(field, value),
            Field::Transfer => {
                self.transfer.push(value);
                Ok(())
            }
            Field::Named(name) => {
                self.request.headers.push((name.clone(), value));
                Ok(())
            }
        }
    }

    fn remove(&mut self, field: &Field) {
        match field {
            Field::Host => self.host = Some(EMPTY),
            Field::Length => self.length = Some(-1),
            Field::Transfer => self.transfer.clear(),
            Field::Named(name) => self.request.remove_header(name),
        }
    }
}

/// An answer that is being changed.
pub(super) struct Inbound<'a> {
    pub(super) request: &'a Request,
    pub(super) answer: &'a mut Answer,
    dialect: Dialect,
    /// The files read for it, by the number of their modifier.
    served: Vec<Served>,
    /// The length, once something has set it: for those that look, the body says it on the wire.
    length: Option<i64>,
    transfer: Option<Vec<HeaderValue>>,
}

impl<'a> Inbound<'a> {
    pub(super) fn new(
        request: &'a Request,
        answer: &'a mut Answer,
        served: Vec<Served>,
        dialect: Dialect,
    ) -> Self {
        Self {
            request,
            answer,
            dialect,
            served,
            length: None,
            transfer: None,
        }
    }

    /// Copies back what a request carries in a field.
    pub(super) fn unstash(&mut self, name: &HeaderName) {
        let value = self.request.header(name).cloned().unwrap_or(EMPTY);
        self.answer.headers.insert(name.clone(), value);
    }

    /// `static.Modifier`: the file that was read becomes the answer.
    pub(super) fn serve(&mut self, index: usize) -> Result<(), Error> {
        match self.served.get_mut(index).map(std::mem::take) {
            None | Some(Served::Missing) => {
                self.answer.status = 404;
                Ok(())
            }
            Some(Served::Failed(error)) => Err(error),
            Some(Served::Found { content_type, part }) => {
                self.replace(&content_type, part);
                Ok(())
            }
        }
    }

    /// `body.Modifier`: a body of the configuration, as much of it as is asked for.
    pub(super) fn body(
        &mut self,
        content_type: &HeaderValue,
        body: &Bytes,
        boundary: &str,
    ) -> Result<(), Error> {
        let size = u64::try_from(body.len()).unwrap_or(u64::MAX);
        let asked = asked(self.request, size, self.dialect).inspect_err(|_| {
            // Go has changed the head by then; the error hides it from everybody.
            self.answer.body = AnswerBody::Empty;
        })?;
        let part = asked.of(body, size, content_type, boundary, self.dialect)?;
        self.replace(content_type, part);
        Ok(())
    }

    fn replace(&mut self, content_type: &HeaderValue, part: super::ranges::Part) {
        let headers = &mut self.answer.headers;
        if content_type.is_empty() && self.dialect == Dialect::Native {
            headers.remove(CONTENT_TYPE);
        } else {
            headers.insert(CONTENT_TYPE, content_type.clone());
        }
        headers.remove(CONTENT_ENCODING);
        headers.remove(TRANSFER_ENCODING);
        if let Some(range) = part.range {
            headers.insert(CONTENT_RANGE, range);
        }
        if let Some(multipart) = part.content_type {
            headers.insert(CONTENT_TYPE, multipart);
        }
        if let Some(status) = part.status {
            self.answer.status = status;
        }
        headers.insert(CONTENT_LENGTH, HeaderValue::from(part.body.len()));
        self.length = Some(i64::try_from(part.body.len()).unwrap_or(i64::MAX));
        self.answer.body = AnswerBody::Full(part.body);
    }

    fn current_length(&self) -> i64 {
        if let Some(length) = self.length {
            return length;
        }
        let told = self.answer.headers.get(CONTENT_LENGTH).and_then(number);
        told.unwrap_or_else(|| match &self.answer.body {
            AnswerBody::Empty => 0,
            AnswerBody::Full(body) => i64::try_from(body.len()).unwrap_or(i64::MAX),
            AnswerBody::Stream(incoming) => incoming
                .content_length()
                .and_then(|length| i64::try_from(length).ok())
                .unwrap_or(-1),
        })
    }

    fn current_transfer(&self) -> Vec<HeaderValue> {
        let told = || {
            self.answer
                .headers
                .get_all(TRANSFER_ENCODING)
                .iter()
                .cloned()
        };
        self.transfer.clone().unwrap_or_else(|| told().collect())
    }
}

impl Head for Inbound<'_> {
    fn first(&self, field: &Field) -> HeaderValue {
        match field {
            Field::Host => EMPTY,
            Field::Length => written(self.current_length()),
            Field::Transfer => self.current_transfer().into_iter().next().unwrap_or(EMPTY),
            Field::Named(name) => self.answer.headers.get(name).cloned().unwrap_or(EMPTY),
        }
    }

    fn any(&self, field: &Field, value: &HeaderValue) -> bool {
        match field {
            Field::Host => false,
            Field::Length => {
                let length = self.current_length();
                length > 0 && HeaderValue::from(length) == value
            }
            Field::Transfer => self.current_transfer().contains(value),
            Field::Named(name) => {
                let mut values = self.answer.headers.get_all(name).iter();
                values.any(|there| there == value)
            }
        }
    }

    fn set(&mut self, field: &Field, value: HeaderValue) -> Result<(), Error> {
        match field {
            Field::Host => {}
            Field::Length => self.length = Some(parsed(&value)?),
            Field::Transfer => self.transfer = Some(vec![value]),
            Field::Named(name) => {
                self.answer.headers.insert(name.clone(), value);
            }
        }
        Ok(())
    }

    fn add(&mut self, field: &Field, value: HeaderValue) -> Result<(), Error> {
        match field {
            Field::Length if self.current_length() > 0 => Err(multiple("Content-Length")),
            Field::Host | Field::Length => self.set(field, value),
            Field::Transfer => {
                let mut transfer = self.current_transfer();
                transfer.push(value);
                self.transfer = Some(transfer);
                Ok(())
            }
            Field::Named(name) => {
                self.answer.headers.append(name.clone(), value);
                Ok(())
            }
        }
    }

    fn remove(&mut self, field: &Field) {
        match field {
            Field::Host => {}
            Field::Length => self.length = Some(-1),
            Field::Transfer => self.transfer = Some(Vec::new()),
            Field::Named(name) => {
                self.answer.headers.remove(name);
            }
        }
    }
}

fn number(value: &HeaderValue) -> Option<i64> {
    value.to_str().ok()?.parse().ok()
}

fn written(length: i64) -> HeaderValue {
    if length < 0 {
        EMPTY
    } else {
        HeaderValue::from(length)
    }
}

fn parsed(value: &HeaderValue) -> Result<i64, Error> {
    number(value).ok_or_else(|| {
        let quoted = go_quote(value.as_bytes());
        fault(format!(
            "strconv.ParseInt: parsing {quoted}: invalid syntax"
        ))
    })
}

fn multiple(name: &str) -> Error {
    fault(format!("proxyutil: illegal header multiple: {name}"))
}
