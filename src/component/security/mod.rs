//! The family `security/*`, and how its settings are read in the two dialects.
//!
//! Native refuses what cannot be understood. KrakenD takes a value of a wrong type for none and starts; the
//! krakend dialect does the same and says so.

pub mod bot_detector;
pub mod cors;
pub mod http;

use crate::base::{Code, Dialect};
use crate::config::settings::Settings;
use crate::config::weak::go_path;
use ::http::HeaderValue;
use serde_json::Value;

/// Settings that KrakenD reads as a map: keys in their exact spelling, values of their exact type.
struct Mapped<'s, 'a> {
    settings: &'s mut Settings<'a>,
    dialect: Dialect,
}

impl Mapped<'_, '_> {
    fn native(&self) -> bool {
        self.dialect == Dialect::Native
    }

    /// The value of a key if its type is right for KrakenD.
    fn exact<T>(&mut self, key: &str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let value = self.settings.map()?.get(key)?;
        let found = read(value);
        if found.is_none() && !value.is_null() {
            self.ignored(key);
        }
        found
    }

    fn ignored(&mut self, key: &str) {
        let place = go_path(&self.settings.pointer_of(key));
        let message = format!("'{place}' has a type that KrakenD ignores; so does this dialect");
        self.settings.warn(key, Code::WrongType, message);
    }

    fn flag(&mut self, key: &str) -> bool {
        match self.dialect {
            Dialect::Native => self.settings.bool_or(key, false),
            Dialect::Krakend => self.exact(key, Value::as_bool).unwrap_or(false),
        }
    }

    fn text(&mut self, key: &str) -> Option<String> {
        let text = match self.dialect {
            Dialect::Native => self.settings.string(key),
            Dialect::Krakend => self.exact(key, |value| value.as_str().map(str::to_owned)),
        };
        text.filter(|text| !text.is_empty())
    }

    /// A whole number.
    fn int(&mut self, key: &str) -> Option<i64> {
        match self.dialect {
            Dialect::Native => self.settings.int(key),
            Dialect::Krakend => self.exact(key, |value| {
                // Go converts the fraction away.
                value.as_i64().or_else(|| value.as_f64().map(|f| f as i64))
            }),
        }
    }

    /// Texts, each with its place.
    fn texts(&mut self, key: &str) -> Vec<(String, String)> {
        if self.native() {
            return self.settings.located_strings(key);
        }
        let list = self.exact(key, |value| value.as_array().cloned());
        let place = self.settings.pointer_of(key);
        let mut texts = Vec::new();
        for (index, item) in list.unwrap_or_default().iter().enumerate() {
            match item.as_str() {
                Some(text) => texts.push((format!("{place}/{index}"), text.to_owned())),
                None => self.ignored(key),
            }
        }
        texts
    }

    /// A text that goes into a header field. KrakenD's server puts spaces for line breaks.
    fn field(&mut self, key: &str) -> Option<HeaderValue> {
        let mut text = self.text(key)?;
        if !self.native() {
            text = text.replace(['\r', '\n'], " ");
        }
        let value = HeaderValue::from_bytes(text.trim().as_bytes());
        if value.is_err() {
            let place = go_path(&self.settings.pointer_of(key));
            let message = format!("'{place}' holds a line break or another control character");
            let hint = "write it in one line";
            self.settings.error_hint(key, Code::BadValue, message, hint);
        }
        value.ok()
    }
}

/// Settings of these components count together or not at all.
fn whole<T>(
    settings: &mut Settings<'_>,
    dialect: Dialect,
    read: impl FnOnce(&mut Settings<'_>) -> T,
) -> Option<T> {
    crate::component::whole(settings, dialect, "component", read)
}

/// Tells that CE reads a component at service level only.
fn service_only(settings: &mut Settings<'_>, name: &str) {
    let message = format!("{name} at endpoint level belongs to KrakenD's Enterprise edition");
    let hint = "it does nothing in this dialect; the native one serves it";
    settings.warn_hint("", Code::EnterpriseOnly, message, hint);
}

/// What is wrong with a regular expression, in one line.
fn regex_fault(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}
