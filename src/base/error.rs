//! What a request can die of. One enumeration: the same word stands in the log line, in the metric
//! `hanzo_gateway_refusals_total{reason}`, in `Proxy-Status` and in `docs/REASONS.md`.

use std::borrow::Cow;

/// The table of reasons: variant, word, status, error code of the body, RFC 9209 error type
/// (empty: none fits), and one sentence for the documentation.
macro_rules! reasons {
    ($($variant:ident $word:literal $status:literal $code:literal $proxy_status:literal $text:literal;)*) => {
        /// Why the gateway refused or failed a request.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $(#[doc = $text] $variant,)*
        }

        impl Reason {
            /// Every reason, in the order of the table.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant,)*];

            /// The stable word for logs, metrics and documentation.
            pub const fn word(self) -> &'static str {
                match self { $(Reason::$variant => $word,)* }
            }

            /// HTTP status of the native dialect (contract section 2).
            pub const fn status(self) -> u16 {
                match self { $(Reason::$variant => $status,)* }
            }

            /// The `error` member of the native error body.
            pub const fn code(self) -> &'static str {
                match self { $(Reason::$variant => $code,)* }
            }

            /// RFC 9209 error type for `Proxy-Status`; empty when none fits.
            pub const fn proxy_status(self) -> &'static str {
                match self { $(Reason::$variant => $proxy_status,)* }
            }

            /// One sentence of documentation.
            pub const fn describe(self) -> &'static str {
                match self { $(Reason::$variant => $text,)* }
            }
        }
    };
}

reasons! {
    MalformedRequest "malformed_request" 400 "bad_request" "http_request_error" "The request line or a header field breaks RFC 9112.";
    BadTarget "bad_target" 400 "bad_request" "http_request_error" "The request target has a form or bytes that RFC 9112 section 3.2 does not allow.";
    BadHost "bad_host" 400 "bad_request" "http_request_error" "`Host` is missing, empty, repeated or contradicts the target.";
    FramingConflict "framing_conflict" 400 "bad_request" "http_request_error" "`Content-Length` and `Transfer-Encoding` contradict each other or themselves.";
    UnknownTransferCoding "unknown_transfer_coding" 400 "bad_request" "http_request_error" "A transfer coding other than a final `chunked`.";
    BadChunk "bad_chunk" 400 "bad_request" "http_request_error" "The chunked framing of the request body breaks RFC 9112 section 7.1.";
    BadParamEncoding "bad_param_encoding" 400 "bad_request" "http_request_denied" "A path parameter is percent-encoded twice or holds `?`, `#` or, natively, a control character.";
    DotSegments "dot_segments" 400 "bad_request" "http_request_denied" "The path holds `.` or `..` segments after decoding.";
    BadBody "bad_body" 400 "bad_request" "http_request_error" "The request body could not be read or understood.";
    SchemaViolated "schema_violated" 400 "bad_request" "http_request_denied" "The request body does not fit the endpoint's JSON schema.";
    CheckFailed "check_failed" 400 "bad_request" "http_request_denied" "An expression of `validation/cel` refused the request.";
    CredentialsMissing "credentials_missing" 401 "unauthorized" "" "No credentials came with the request, or none of a kind that this endpoint takes.";
    TokenMalformed "token_malformed" 401 "unauthorized" "" "What came as a token is none, or one that breaks its format.";
    AlgorithmMismatch "algorithm_mismatch" 401 "unauthorized" "" "The token names another algorithm than the one that is configured.";
    KeyUnknown "key_unknown" 401 "unauthorized" "" "No key of the issuer's set has the token's key id.";
    SignatureInvalid "signature_invalid" 401 "unauthorized" "" "The token's signature is not that of the key it names.";
    TokenExpired "token_expired" 401 "unauthorized" "" "The token's `exp` has passed.";
    ExpiryMissing "expiry_missing" 401 "unauthorized" "" "The token has no `exp`.";
    TokenNotYetValid "token_not_yet_valid" 401 "unauthorized" "" "The token's `nbf` or `iat` is in the future.";
    IssuerMismatch "issuer_mismatch" 401 "unauthorized" "" "The token names another issuer.";
    AudienceMismatch "audience_mismatch" 401 "unauthorized" "" "The token is for another audience.";
    TokenRevoked "token_revoked" 401 "unauthorized" "" "The token was revoked.";
    ClaimsRefused "claims_refused" 401 "unauthorized" "" "An expression on the token's claims does not hold.";
    TokenInactive "token_inactive" 401 "unauthorized" "" "The token's issuer says that it is not active.";
    ApiKeyInvalid "api_key_invalid" 401 "unauthorized" "" "Nobody vouches for the API key.";
    PasswordInvalid "password_invalid" 401 "unauthorized" "" "Name and password do not belong together.";
    CertificateInvalid "certificate_invalid" 401 "unauthorized" "" "The client's certificate is missing or says not what is needed.";
    AuthenticationOff "authentication_off" 401 "unauthorized" "" "KrakenD's dialect: the settings of `auth/validator` cannot work, so nobody comes in.";
    RolesMissing "roles_missing" 403 "forbidden" "" "The credentials are valid and lack the roles.";
    ScopesMissing "scopes_missing" 403 "forbidden" "" "The credentials are valid and lack the scopes.";
    BotDetected "bot_detected" 403 "forbidden" "http_request_denied" "The client calls itself by the name of a bot that is not wanted.";
    HostNotAllowed "host_not_allowed" 403 "forbidden" "http_request_denied" "The client asked for a host that is not served here.";
    ScriptRefused "script_refused" 400 "bad_request" "http_request_denied" "A script of the configuration refused the request; it chooses the status.";
    NoRoute "no_route" 404 "not_found" "http_request_denied" "No endpoint has this path.";
    MethodNotAllowed "method_not_allowed" 405 "method_not_allowed" "http_request_denied" "An endpoint has this path but not this method.";
    HeaderTimeout "header_timeout" 408 "request_timeout" "http_request_error" "The request head did not arrive in time.";
    BodyTimeout "body_timeout" 408 "request_timeout" "http_request_error" "The request body arrived too slowly.";
    BodyTooLarge "body_too_large" 413 "payload_too_large" "http_request_denied" "The request body is over the limit.";
    UriTooLong "uri_too_long" 414 "uri_too_long" "http_request_denied" "The request target is over the limit.";
    GlobalRateExceeded "global_rate_exceeded" 429 "rate_limit_exceeded" "http_request_denied" "More requests than the whole service takes.";
    EndpointRateExceeded "endpoint_rate_exceeded" 429 "rate_limit_exceeded" "http_request_denied" "More requests than the endpoint takes of all clients together.";
    ClientRateExceeded "client_rate_exceeded" 429 "rate_limit_exceeded" "http_request_denied" "More requests of this client than one client may send, or a client that cannot be told from others.";
    TierMinuteExhausted "tier_minute_exhausted" 429 "rate_limit_exceeded" "http_request_denied" "The caller's plan has no request left at this moment.";
    TierDayExhausted "tier_day_exhausted" 429 "rate_limit_exceeded" "http_request_denied" "The caller's plan has no request left on this day.";
    BackendRateExceeded "backend_rate_exceeded" 429 "rate_limit_exceeded" "http_request_denied" "More calls than the backend takes.";
    HeadersTooLarge "headers_too_large" 431 "headers_too_large" "http_request_denied" "The header section is over the limit in bytes.";
    TooManyHeaders "too_many_headers" 431 "headers_too_large" "http_request_denied" "The header section has too many fields.";
    Internal "internal" 500 "internal_error" "proxy_internal_error" "A fault of the gateway itself.";
    ScriptFailed "script_failed" 500 "internal_error" "proxy_internal_error" "A script of the configuration failed, or went beyond its time or memory.";
    SigningFailed "signing_failed" 500 "internal_error" "proxy_internal_error" "The answer's tokens could not be signed.";
    MethodUnsupported "method_unsupported" 501 "not_implemented" "http_request_denied" "The gateway does not implement this method or upgrade.";
    DnsFailed "dns_failed" 502 "bad_gateway" "dns_error" "The backend's name could not be resolved.";
    ConnectRefused "connect_refused" 502 "bad_gateway" "connection_refused" "The backend refused the connection.";
    ConnectFailed "connect_failed" 502 "bad_gateway" "destination_unavailable" "The connection to the backend failed.";
    TlsFailed "tls_failed" 502 "bad_gateway" "tls_protocol_error" "The TLS handshake with the backend failed.";
    BackendReset "backend_reset" 502 "bad_gateway" "connection_terminated" "The backend closed the connection before its answer was complete.";
    BackendInvalid "backend_invalid" 502 "bad_gateway" "http_protocol_error" "The backend's answer is no valid HTTP.";
    BackendTooLarge "backend_too_large" 502 "bad_gateway" "http_response_body_size" "The backend's answer is over the limit for composed answers.";
    BackendStatus "backend_status" 502 "bad_gateway" "http_response_incomplete" "The backend answered a composed endpoint with a status other than 200 or 201.";
    DecodeFailed "decode_failed" 502 "bad_gateway" "http_response_content_coding" "The backend's body could not be decoded.";
    BadSlot "bad_backend_url" 502 "bad_gateway" "proxy_configuration_error" "The backend's URL cannot be built from the request.";
    BackendTokenUnavailable "backend_token_unavailable" 502 "bad_gateway" "destination_unavailable" "The token for calls to the backend could not be had.";
    AnswerCheckFailed "answer_check_failed" 502 "bad_gateway" "http_response_incomplete" "An expression of `validation/cel` refused the answer.";
    JwksUnavailable "jwks_unavailable" 503 "service_unavailable" "" "The issuer's keys have not been had yet, so no token can be verified.";
    KeyServiceUnavailable "key_service_unavailable" 503 "service_unavailable" "" "The service that vouches for API keys does not answer, and this key is not remembered.";
    IntrospectionUnavailable "introspection_unavailable" 503 "service_unavailable" "" "The service that knows opaque tokens does not answer, and this token is not remembered.";
 SigningKeyUnavailable "signing_key_unavailable" 503 "service_unavailable" "proxy_internal_error" "The key that signs the answer's tokens has not been had yet.";
    LimitStoreUnavailable "limit_store_unavailable" 503 "service_unavailable" "proxy_internal_error" "The store that a limit counts in does not answer, and the file says that nobody passes then.";
    NoHosts "no_hosts" 503 "service_unavailable" "destination_unavailable" "The backend has no usable host.";
    BreakerOpen "breaker_open" 503 "service_unavailable" "destination_unavailable" "The backend failed again and again; its circuit breaker is open.";
    ConnectionLimit "connection_limit" 503 "service_unavailable" "connection_limit_reached" "Too many connections, in total or from one address.";
    Overloaded "overloaded" 503 "service_unavailable" "proxy_internal_response" "The gateway sheds load.";
    Draining "draining" 503 "service_unavailable" "proxy_internal_response" "The gateway is shutting down.";
    ConnectTimeout "connect_timeout" 504 "gateway_timeout" "connection_timeout" "The connection to the backend took too long.";
    BackendTimeout "backend_timeout" 504 "gateway_timeout" "http_response_timeout" "The backend did not answer in time.";
    ClientGone "client_gone" 499 "client_closed_request" "" "The client closed the connection before the answer; nobody sees this status.";
}

impl Reason {
    /// Whether it is about who calls. What exactly is wrong is told to operators and never to clients.
    pub const fn is_authentication(self) -> bool {
        matches!(
            self,
            Self::JwksUnavailable | Self::KeyServiceUnavailable | Self::IntrospectionUnavailable
        ) || self.challenges()
            || matches!(self, Self::RolesMissing | Self::ScopesMissing)
    }

    /// Whether a limit in front of the pipe refused: the status alone says it in the krakend dialect.
    pub const fn is_rate_limit(self) -> bool {
        matches!(
            self,
            Self::GlobalRateExceeded
                | Self::EndpointRateExceeded
                | Self::ClientRateExceeded
                | Self::TierMinuteExhausted
                | Self::TierDayExhausted
        )
    }

    /// Whether credentials are missing or no good: 401 in both dialects.
    pub const fn challenges(self) -> bool {
        self.status() == 401
    }
}

/// How a client is told to come back after a 401 (RFC 9110 section 11.6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Challenge {
    /// A token (RFC 6750).
    #[default]
    Bearer,
    /// Name and password (RFC 7617).
    Basic,
}

/// Why a request ended without the backend's answer, with what the krakend dialect and the log
/// need to tell about it. Native clients see only what [`Reason`] says.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {text}", .reason.word())]
pub struct Error {
    /// The one reason.
    pub reason: Reason,
    /// Detail for the log, and the body that `return_error_msg` shows in the krakend dialect.
    /// Never holds secrets.
    pub text: Cow<'static, str>,
    /// A status and body that a component or `return_error_code` shows to the client instead.
    pub exposed: Option<Box<Exposed>>,
    /// Seconds for `Retry-After` on 429 and 503.
    pub retry_after: Option<u32>,
    /// Value of `Allow` on 405.
    pub allow: Option<Box<str>>,
    /// What `WWW-Authenticate` asks for on 401.
    pub challenge: Challenge,
    /// The backend's status, where the error is that it was not one to go on with.
    pub backend_status: Option<u16>,
}

/// An error that chose its own status (`return_error_code`, scripts, validation).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposed {
    /// Status for the client.
    pub status: u16,
    /// Content type of the error's text, when the source declared one.
    pub content_type: Option<String>,
}

impl Error {
    /// An error with a reason and a detail for the log.
    pub fn new(reason: Reason, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason,
            text: text.into(),
            exposed: None,
            retry_after: None,
            allow: None,
            challenge: Challenge::Bearer,
            backend_status: None,
        }
    }

    /// The same error, showing its own status to the client.
    #[must_use]
    pub fn exposing(mut self, status: u16, content_type: Option<String>) -> Self {
        self.exposed = Some(Box::new(Exposed {
            status,
            content_type,
        }));
        self
    }

    /// The same error, about a backend's answer with this status.
    #[must_use]
    pub fn of_status(mut self, status: u16) -> Self {
        self.backend_status = Some(status);
        self
    }

    /// The same error with the methods that the path has.
    #[must_use]
    pub fn allowing(mut self, methods: impl Into<Box<str>>) -> Self {
        self.allow = Some(methods.into());
        self
    }

    /// The same error, asking for credentials of this kind.
    #[must_use]
    pub fn challenging(mut self, challenge: Challenge) -> Self {
        self.challenge = challenge;
        self
    }

    /// The same error with the seconds after which a retry makes sense.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds.max(1));
        self
    }
}

impl From<Reason> for Error {
    fn from(reason: Reason) -> Self {
        Self::new(reason, reason.describe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn words_are_unique_and_fit_a_label() {
        let mut seen = HashSet::new();
        for reason in Reason::ALL {
            assert!(seen.insert(reason.word()), "{} twice", reason.word());
            assert!(
                reason
                    .word()
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'_')
            );
        }
    }

    #[test]
    fn each_status_has_one_code() {
        let mut codes = std::collections::HashMap::new();
        for reason in Reason::ALL {
            let code = codes
                .entry(reason.status())
                .or_insert_with(|| reason.code());
            assert_eq!(*code, reason.code(), "status {}", reason.status());
        }
    }
}
