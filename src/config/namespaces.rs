//! `extra_config`: namespaces under their short names, whichever of the two spellings was written.
//! Which of them are known is not decided here.

use super::decode::Context;
use super::document::{Extra, Namespace};
use super::settings::Settings;
use super::{keys, weak};
use crate::base::problem::pointer_join;
use crate::base::{Code, Problem};
use serde_json::{Map, Value};

/// Short names and the long ones of KrakenD's first version.
pub const LONG_NAMES: &[(&str, &str)] = &[
    (
        "plugin/http-server",
        "github_com/devopsfaith/krakend/transport/http/server/handler",
    ),
    (
        "plugin/http-client",
        "github.com/devopsfaith/krakend/transport/http/client/executor",
    ),
    (
        "plugin/req-resp-modifier",
        "github.com/devopsfaith/krakend/proxy/plugin",
    ),
    ("proxy", "github.com/devopsfaith/krakend/proxy"),
    ("router", "github_com/luraproject/lura/router/gin"),
    ("qos/http-cache", "github.com/devopsfaith/krakend-httpcache"),
    (
        "qos/circuit-breaker",
        "github.com/devopsfaith/krakend-circuitbreaker/gobreaker",
    ),
    (
        "auth/client-credentials",
        "github.com/devopsfaith/krakend-oauth2-clientcredentials",
    ),
    (
        "auth/validator",
        "github.com/devopsfaith/krakend-jose/validator",
    ),
    ("auth/signer", "github.com/devopsfaith/krakend-jose/signer"),
    ("auth/revoker", "github_com/devopsfaith/bloomfilter"),
    (
        "security/bot-detector",
        "github_com/devopsfaith/krakend-botdetector",
    ),
    ("security/http", "github_com/devopsfaith/krakend-httpsecure"),
    ("security/cors", "github_com/devopsfaith/krakend-cors"),
    ("validation/cel", "github.com/devopsfaith/krakend-cel"),
    (
        "validation/json-schema",
        "github.com/devopsfaith/krakend-jsonschema",
    ),
    ("async/amqp", "github.com/devopsfaith/krakend-amqp/agent"),
    (
        "backend/amqp/consumer",
        "github.com/devopsfaith/krakend-amqp/consume",
    ),
    (
        "backend/amqp/producer",
        "github.com/devopsfaith/krakend-amqp/produce",
    ),
    ("backend/lambda", "github.com/devopsfaith/krakend-lambda"),
    (
        "backend/pubsub/publisher",
        "github.com/devopsfaith/krakend-pubsub/publisher",
    ),
    (
        "backend/pubsub/subscriber",
        "github.com/devopsfaith/krakend-pubsub/subscriber",
    ),
    (
        "backend/graphql",
        "github.com/devopsfaith/krakend/transport/http/client/graphql",
    ),
    ("backend/http", "github.com/devopsfaith/krakend/http"),
    ("telemetry/gelf", "github_com/devopsfaith/krakend-gelf"),
    (
        "telemetry/logging",
        "github_com/devopsfaith/krakend-gologging",
    ),
    (
        "telemetry/logstash",
        "github_com/devopsfaith/krakend-logstash",
    ),
    (
        "telemetry/metrics",
        "github_com/devopsfaith/krakend-metrics",
    ),
    (
        "telemetry/opencensus",
        "github_com/devopsfaith/krakend-opencensus",
    ),
    ("telemetry/influx", "github_com/letgoapp/krakend-influx"),
    (
        "modifier/lua-endpoint",
        "github.com/devopsfaith/krakend-lua/router",
    ),
    (
        "modifier/lua-proxy",
        "github.com/devopsfaith/krakend-lua/proxy",
    ),
    (
        "modifier/lua-backend",
        "github.com/devopsfaith/krakend-lua/proxy/backend",
    ),
    ("modifier/martian", "github.com/devopsfaith/krakend-martian"),
];

/// The short name of a namespace; a short or unknown one stays as it is.
pub fn short(name: &str) -> &str {
    LONG_NAMES
        .iter()
        .find(|(_, long)| *long == name)
        .map_or(name, |(short, _)| short)
}

/// The `extra_config` of an object.
pub(super) fn extra(settings: &mut Settings<'_>, context: &Context<'_>) -> Extra {
    let Some(value) = settings.value("extra_config") else {
        return Extra::default();
    };
    let pointer = settings.pointer_of("extra_config");
    let map = match weak::map(value) {
        Ok(map) => map,
        Err(mismatch) => {
            settings.report().push(mismatch.problem(&pointer));
            return Extra::default();
        }
    };
    let mut namespaces = Vec::new();
    for (written, value) in map.iter().filter(|(name, _)| !keys::is_comment(name)) {
        let pointer = pointer_join(&pointer, written);
        let name = short(written);
        if name != written {
            settings
                .report()
                .push(legacy(&pointer, written, name, &map));
            if map.contains_key(name) {
                continue;
            }
        }
        namespaces.push(Namespace {
            name: name.to_owned(),
            pointer,
            value: value.clone(),
        });
    }
    namespaces.sort_by_key(|namespace| context.source.key_offset(&namespace.pointer));
    Extra(namespaces)
}

fn legacy(pointer: &str, written: &str, name: &str, map: &Map<String, Value>) -> Problem {
    let hint = format!("write \"{name}\"");
    if map.contains_key(name) {
        let message = format!("\"{written}\" is ignored, \"{name}\" stands beside it and counts");
        return Problem::warning(Code::Deprecated, pointer, message)
            .hint("remove the long spelling");
    }
    Problem::warning(
        Code::Deprecated,
        pointer,
        format!("\"{written}\" is the old name of \"{name}\""),
    )
    .hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Dialect, Report};
    use crate::config::json;
    use crate::config::source::Source;

    fn read(text: &str) -> (Extra, Report) {
        let mut report = Report::default();
        let (root, marks) = json::read(text, &mut report).unwrap();
        let source = Source::plain("", text).with_marks(marks);
        let context = Context {
            source: &source,
            dialect: Dialect::Native,
            port: None,
        };
        let extra = extra(&mut Settings::new(&root, "", &mut report), &context);
        (extra, report)
    }

    #[test]
    fn every_name_occurs_once() {
        let mut all: Vec<&str> = LONG_NAMES
            .iter()
            .flat_map(|(short, long)| [*short, *long])
            .collect();
        all.sort_unstable();
        assert!(all.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn keeps_file_order_and_leaves_out_comments() {
        let (extra, report) =
            read(r#"{"extra_config": {"router": 1, "@note": {}, "auth/validator": {"b": 2}}}"#);
        let names: Vec<&str> = extra.0.iter().map(|n| n.name.as_str()).collect();
        assert_eq!(names, ["router", "auth/validator"]);
        assert_eq!(
            extra.get("auth/validator").unwrap().pointer,
            "/extra_config/auth~1validator"
        );
        assert!(report.problems.is_empty());
    }

    #[test]
    fn the_old_name_means_the_new_one() {
        let (extra, report) =
            read(r#"{"extra_config": {"github.com/devopsfaith/krakend/proxy": {"a": 1}}}"#);
        let proxy = extra.get("proxy").unwrap();
        assert_eq!(
            proxy.pointer,
            "/extra_config/github.com~1devopsfaith~1krakend~1proxy"
        );
        assert_eq!(report.problems[0].code, Code::Deprecated);
        assert!(!report.has_errors());
    }

    #[test]
    fn the_short_name_wins() {
        let (extra, report) = read(
            r#"{"extra_config": {"github_com/devopsfaith/krakend-cors": {"a": 1}, "security/cors": {"a": 2}}}"#,
        );
        assert_eq!(extra.0.len(), 1);
        assert_eq!(extra.get("security/cors").unwrap().value["a"], 2);
        assert_eq!(report.warnings(), 1);
    }

    #[test]
    fn lists_of_objects_are_merged() {
        assert_eq!(
            read(r#"{"extra_config": [{"a": {}}, {"b": {}}]}"#)
                .0
                .0
                .len(),
            2
        );
        assert!(read(r#"{"extra_config": []}"#).0.0.is_empty());
        assert!(read(r#"{"extra_config": "x"}"#).1.has_errors());
    }
}
