//! `auth/…`: who may come in, and as whom the gateway calls backends.

use super::Kind::{
    Choice, Code, Duration, Either, Flag, Int, List, Map, Min, Number, Object, Some, Text, Word,
};
use super::{Entry, Field, entry, field};
use crate::component::Level::{Backend as B, Endpoint as E, Service as S};

const ALGORITHMS: super::Kind = Word(&[
    "EdDSA", "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512",
    "PS256", "PS384", "PS512",
]);

/// The suites of the client that fetches keys.
const SUITES: super::Kind = List(&Code(&[
    5, 10, 47, 53, 60, 156, 157, 49159, 49161, 49162, 49169, 49170, 49171, 49172, 49187, 49191,
    49195, 49196, 49199, 49200, 52392, 52393, 4865, 4866, 4867,
]));

/// `auth/validator` of an endpoint, and `jwt` of `hanzo/auth`.
pub(super) const VALIDATOR: &[Field] = &[
    field("alg", ALGORITHMS, "The algorithm that tokens must name.")
        .or("RS256")
        .differs("the default holds; KrakenD's code has none"),
    field("jwk_url", Text, "Where the keys are.")
        .eg("https://id.example.org/.well-known/jwks.json"),
    field(
        "jwk_local_path",
        Text,
        "A file with the keys; nothing is fetched then.",
    )
    .differs("needs no `disable_jwk_security`; a reload reads it again"),
    field("secret_url", Text, "Who opens an encrypted key file."),
    field(
        "cypher_key",
        Text,
        "The encrypted key of that file, base64.",
    ),
    field("cache", Flag, "Keep fetched keys.")
        .or("false")
        .differs("keys are always kept, and fetched beside the requests"),
    field(
        "cache_duration",
        Min(0),
        "How long keys are kept, in seconds.",
    )
    .or("900"),
    field(
        "jwk_fingerprints",
        List(&Text),
        "Fingerprints of which the key server must show one.",
    ),
    field(
        "jwk_local_ca",
        Text,
        "PEM file of a further authority for the key server.",
    ),
    field(
        "cipher_suites",
        SUITES,
        "Suites of TLS 1.2 towards the key server.",
    ),
    field(
        "disable_jwk_security",
        Flag,
        "Allow plain HTTP and any certificate.",
    )
    .or("false"),
    field("issuer", Text, "The issuer that tokens must name.").eg("https://id.example.org/"),
    field("audience", List(&Text), "Audiences that tokens must name."),
    field(
        "audience_match",
        Word(&["all", "any"]),
        "Whether all of them are needed or one.",
    )
    .or("all")
    .ours(),
    field("roles_key", Text, "The claim with roles.").or("roles"),
    field("roles_key_is_nested", Flag, "The claim is a dotted path.").or("false"),
    field("roles", List(&Text), "Roles of which a token needs one."),
    field("scopes", List(&Text), "Scopes that a token needs."),
    field("scopes_key", Text, "The claim with scopes, a dotted path.")
        .eg("scope")
        .differs("needed where there are scopes; names that begin with `http` are no paths"),
    field(
        "scopes_matcher",
        Word(&["any", "all"]),
        "Whether one scope is enough.",
    )
    .or("any"),
    field(
        "propagate_claims",
        List(&List(&Text)),
        "Claims that become header fields towards backends: pairs of claim and field.",
    )
    .eg("[[\"sub\", \"X-User-ID\"]]")
    .differs("whole numbers are exact; fields that frame a message are refused"),
    field(
        "propagate_claims_preserve_array",
        Flag,
        "A list becomes several values of the field.",
    )
    .or("false"),
    field(
        "key_identify_strategy",
        Word(&["kid", "x5t", "x5t#S256", "kid_x5t"]),
        "How a token names its key.",
    )
    .or("kid"),
    field(
        "cookie_key",
        Text,
        "The cookie with the token, when no field has one.",
    )
    .or("access_token"),
    field("auth_header_name", Text, "The field with the token.").or("Authorization"),
    field("operation_debug", Flag, "Log why tokens fail.").or("false"),
    field("leeway", Duration, "How far clocks may differ.")
        .or("1s")
        .differs("less than a second counts as it is written"),
    field(
        "failed_jwk_key_cooldown",
        Duration,
        "How long an unknown key is not asked for again.",
    ),
];

const SIGNER: &[Field] = &[
    field("alg", ALGORITHMS, "The algorithm.").must(),
    field("kid", Text, "Which key signs.").must(),
    field("typ", Text, "The type that the token names.").or("JWT"),
    field(
        "keys_to_sign",
        List(&Text),
        "Top-level objects of the answer that become tokens.",
    )
    .must(),
    field(
        "full",
        Flag,
        "JSON serialisation instead of the compact one.",
    )
    .or("false"),
    field("jwk_url", Text, "Where the keys are."),
    field("jwk_local_path", Text, "A file with the keys."),
    field("secret_url", Text, "Who opens an encrypted key file."),
    field(
        "cypher_key",
        Text,
        "The encrypted key of that file, base64.",
    ),
    field(
        "cipher_suites",
        SUITES,
        "Suites of TLS 1.2 towards the key server.",
    ),
    field(
        "disable_jwk_security",
        Flag,
        "Allow plain HTTP and any certificate.",
    )
    .or("false"),
    field(
        "jwk_fingerprints",
        List(&Text),
        "Fingerprints of which the key server must show one.",
    ),
    field(
        "jwk_local_ca",
        Text,
        "PEM file of a further authority for the key server.",
    ),
];

const REVOKER: &[Field] = &[
    field("N", Int, "How many tokens are revoked at most at one time.")
        .must()
        .eg("10000000"),
    field(
        "P",
        Number,
        "How likely a good token may be refused by mistake.",
    )
    .must()
    .eg("0.0000001"),
    field(
        "hash_name",
        Word(&["optimal", "default"]),
        "How elements are hashed.",
    )
    .must()
    .eg("optimal"),
    field("TTL", Int, "How long a revocation holds, in seconds.")
        .must()
        .eg("86400"),
    field(
        "port",
        Int,
        "The TCP port where revocations are taken by Go's remote calls.",
    )
    .eg("1234")
    .differs("not needed where there is a file or a socket; listens on loopback in native"),
    field("listen_ip", Text, "The address of that port.")
        .or("127.0.0.1")
        .ours(),
    field(
        "file",
        Text,
        "A file with a revoked element on each line, read anew whenever it changes.",
    )
    .eg("/etc/hanzo/revoked")
    .ours(),
    field(
        "socket",
        Text,
        "A socket in the file system that takes lines such as `add jti-<id>` and `check jti-<id>`.",
    )
    .eg("/run/hanzo/revoker.sock")
    .ours(),
    field(
        "token_keys",
        List(&Text),
        "Claims by which tokens are revoked.",
    )
    .must()
    .eg("[\"jti\"]"),
    field(
        "headers",
        List(&Text),
        "Fields by which requests are refused.",
    )
    .differs("KrakenD reads and never evaluates it; so does the krakend dialect"),
    field(
        "revoke_server_ping_url",
        Text,
        "A revoke server to announce ourselves to (Enterprise).",
    ),
    field(
        "revoke_server_ping_interval",
        Duration,
        "How often (Enterprise).",
    )
    .or("30s"),
    field("revoke_server_api_key", Text, "Our key there (Enterprise)."),
    field(
        "revoke_server_max_workers",
        Int,
        "How many messages at once (Enterprise).",
    )
    .or("5"),
    field(
        "revoke_server_max_retries",
        Int,
        "How often again (Enterprise).",
    )
    .or("0"),
];

const BASIC: &[Field] = &[
    field(
        "htpasswd_path",
        Text,
        "A file of users as `htpasswd -B` writes it; it is read again at each reload.",
    )
    .differs("hashes other than bcrypt refuse the file"),
    field(
        "users",
        Map(&Text),
        "Users and their bcrypt hashes; they stand over those of the file.",
    ),
    field(
        "propagate_user",
        Text,
        "The field that tells backends the name.",
    )
    .ours(),
];

/// The namespaces.
pub(super) const ENTRIES: &[Entry] = &[
    entry(
        "auth/validator",
        &[S],
        Object(&[field(
            "shared_cache_duration",
            Int,
            "How long endpoints with `cache` share fetched keys, in seconds.",
        )
        .or("900")]),
        "Keys that endpoints share.",
    ),
    entry(
        "auth/validator",
        &[E],
        Object(VALIDATOR),
        "A request needs a signed token.",
    )
    .differs(
        "settings that cannot be understood refuse the file; KrakenD answers 401 for ever, or ends",
    ),
    entry(
        "auth/signer",
        &[E],
        Object(SIGNER),
        "Parts of an answer become signed tokens.",
    )
    .differs(
        "an answer of which parts failed is an error and not signed, limits, scripts and encodings of the endpoint hold, and the fetch of the key is tried until it succeeds; the krakend dialect does as KrakenD",
    ),
    entry(
        "auth/revoker",
        &[S],
        Object(REVOKER),
        "Tokens can be revoked before they expire.",
    )
    .differs(
        "settings that cannot be understood refuse the file, where KrakenD switches revocation off; revocations outlive a reload and, with a file, a restart",
    ),
    entry(
        "auth/client-credentials",
        &[B],
        Object(&[
            field("client_id", Text, "Our name at the identity provider.").must(),
            field("client_secret", Text, "Our secret there.").must(),
            field("token_url", Text, "Where tokens are.")
                .must()
                .eg("https://id.example.org/token"),
            field("scopes", Text, "Scopes, separated by commas.").eg("read,write"),
            field(
                "endpoint_params",
                Map(&List(&Text)),
                "Further parameters of the request for a token.",
            ),
            field("is_disabled", Flag, "Call without a token.").or("false"),
        ]),
        "The gateway shows its own token to the backend (OAuth 2 client credentials).",
    )
    .differs(
        "a fetch is bounded in time and made once for all who wait, the token never follows a redirect to another host; in native it is renewed before it ends and dropped when the backend answers 401",
    ),
    entry(
        "auth/api-keys",
        &[S],
        Object(&[
            field(
                "keys",
                Some(&Object(&[
                    field("key", Text, "The key or its hash.").must(),
                    field("roles", List(&Text), "What it may."),
                    field("plain_key", Text, "A note of whose it is."),
                ])),
                "The keys.",
            )
            .must(),
            field(
                "strategy",
                Word(&["header", "query_string"]),
                "Where a request has its key.",
            )
            .or("header"),
            field(
                "identifier",
                Text,
                "The name of the field or parameter; `key` for a parameter when absent.",
            )
            .or("Authorization"),
            field(
                "hash",
                Word(&["plain", "fnv128", "sha256", "sha1"]),
                "How keys are written in the file.",
            )
            .or("plain"),
            field("salt", Text, "What is put before a key when it is hashed."),
            field(
                "propagate_role",
                Text,
                "The field that tells backends the role.",
            ),
        ]),
        "Keys and what they may; it locks no endpoint by itself.",
    )
    .enterprise(),
    entry(
        "auth/api-keys",
        &[E],
        Object(&[
            field("roles", Some(&Text), "Roles of which a key needs one.").must(),
            field(
                "strategy",
                Word(&["header", "query_string"]),
                "Where a request has its key.",
            ),
            field("identifier", Text, "The name of the field or parameter."),
            field("client_max_rate", Number, "Requests a second of one key."),
        ]),
        "A request needs a key.",
    )
    .differs("a good key without the roles is 403 in the native dialect; KrakenD answers 401")
    .enterprise(),
    entry(
        "auth/basic",
        &[S, E],
        Object(BASIC),
        "A request needs a user and a password: at an endpoint; the service's users are for endpoints with an empty block.",
    )
    .enterprise(),
    entry(
        "auth/gcp",
        &[B],
        Object(&[
            field("audience", Text, "Whom the token is for.")
                .must()
                .eg("https://service-abc.run.app"),
            field(
                "credentials_file",
                Text,
                "A file with the key of a service account.",
            )
            .differs("without any credentials those of the environment or of the machine count"),
            field(
                "credentials_json",
                Either(&[Text, super::Kind::Any]),
                "The key of a service account in place.",
            ),
            field(
                "custom_claims",
                super::Kind::Any,
                "Further claims of the account when it asks for the token.",
            ),
            field("s2s_auth_header", Text, "The field of the token.").or("Authorization"),
        ]),
        "Google tokens towards the backend.",
    )
    .enterprise(),
    entry(
        "auth/aws-sigv4",
        &[B],
        Object(&[
            field("region", Text, "The region.").must().eg("us-east-1"),
            field("service", Text, "The service by its name for signatures.").must().eg("s3"),
            field("assume_role_arn", Text, "The role to take."),
            field("sts_region", Text, "The region of the token service.")
                .differs("without it the region of the calls counts"),
            field("debug", Flag, "Log at level DEBUG that a call was signed.").or("false"),
        ]),
        "Requests are signed for AWS.",
    )
    .enterprise(),
    entry(
        "auth/ntlm",
        &[B],
        Choice(
            &[
                field("user", Text, "The user.").must(),
                field("password", Text, "The password.").must(),
            ],
            &[],
        ),
        "NTLM towards the backend.",
    )
    .enterprise(),
];
