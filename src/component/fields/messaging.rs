//! Queues: `async/…`, `backend/amqp/…`, `backend/pubsub/…`.

use super::Kind::{Any, Duration, Flag, Int, List, Object, Ref, Text, Word};
use super::{Entry, Field, Part, entry, field, part};
use crate::component::Level::{Agent as A, Backend as B};

/// How pauses between attempts grow.
pub(super) const BACKOFF: &[&str] = &[
    "linear",
    "linear-jitter",
    "exponential",
    "exponential-jitter",
    "fallback",
];

const CLUSTER: &[Field] = &[
    field("brokers", List(&Text), "Where it is.")
        .must()
        .eg("[\"kafka:9092\"]"),
    field("client_tls", Ref("client_tls"), "TLS."),
    field(
        "sasl",
        Object(&[
            field(
                "mechanism",
                Word(&["PLAIN", "OAUTHBEARER"]),
                "How we show who we are.",
            ),
            field("user", Text, "The user."),
            field("password", Text, "The password."),
            field("auth_identity", Text, "As whom we act."),
            field("scram_auth_id", Text, "As whom, for SCRAM."),
            field("disable_hanshake", Flag, "No handshake first.").or("true"),
            field("azure_event_hub", Flag, "Azure Event Hub.").or("false"),
        ]),
        "Who we are.",
    ),
    field("dial_timeout", Duration, "How long connecting may take.").or("30s"),
    field("read_timeout", Duration, "How long reading may take.").or("30s"),
    field("write_timeout", Duration, "How long writing may take.").or("30s"),
    field("keep_alive", Duration, "Distance of probes."),
    field("client_id", Text, "Our name."),
    field("rack_id", Text, "Our rack."),
    field("channel_buffer_size", Int, "Messages that wait.").or("256"),
    field("metadata_retry_max", Int, "How often again.").or("3"),
    field("metadata_retry_backoff", Duration, "The pause between.").or("250ms"),
];

const GROUP: &[Field] = &[
    field("id", Text, "Its name."),
    field("session_timeout", Duration, "How long silence is borne.").or("10s"),
    field(
        "heartbeat_interval",
        Duration,
        "How often we tell that we live.",
    )
    .or("3s"),
    field(
        "rebalance_strategies",
        List(&Text),
        "How topics are shared.",
    )
    .or("[\"range\"]"),
    field("rebalance_timeout", Duration, "How long sharing may take.").or("60s"),
    field("instance_id", Text, "Our place in it."),
    field("fetch_default", Int, "Bytes at once.").or("1048576"),
    field("isolation_level", Any, "Which messages are seen."),
];

const PRODUCER: &[Field] = &[
    field("max_message_bytes", Int, "The longest message."),
    field("required_acks", Text, "Who must have it.").or("wait_for_local"),
    field("required_acks_timeout", Duration, "How long that may take.").or("10s"),
    field(
        "compression_codec",
        Word(&["none", "gzip", "snappy", "lz4", "zstd"]),
        "How it is packed.",
    ),
    field("compression_level", Int, "How tightly."),
    field(
        "partitioner",
        Word(&["sarama", "standard", "random", "roundrobin"]),
        "Where it goes.",
    ),
    field("idempotent", Flag, "Each message once."),
    field("retry_max", Int, "How often again.").or("3"),
    field("retry_backoff", Duration, "The pause between.").or("100ms"),
];

const NAME: Field = field("name", Text, "The queue.").must();
const EXCHANGE: Field = field("exchange", Text, "The exchange.").must();
const DURABLE: Field = field("durable", Flag, "It outlives the broker.").or("false");
const DELETE: Field = field("delete", Flag, "It goes with its last consumer.").or("false");
const EXCLUSIVE: Field = field("exclusive", Flag, "Only we may use it.").or("false");
const NO_WAIT: Field = field("no_wait", Flag, "Do not wait for the broker's word.").or("false");
const NO_LOCAL: Field = field("no_local", Flag, "Not our own messages.").or("false");
const AUTO_ACK: Field = field(
    "auto_ack",
    Flag,
    "Messages count as done when they are taken.",
)
.or("false");
const NACK: Field = field(
    "nack_discard",
    Flag,
    "A failed message is dropped and not put back.",
)
.or("false");
const COUNT: Field = field("prefetch_count", Int, "Messages taken ahead.").or("10");
const SIZE: Field = field("prefetch_size", Int, "Bytes taken ahead.").or("0");
const RETRIES: Field = field(
    "max_retries",
    Int,
    "How often it reconnects; 0 is for ever.",
)
.or("0");
const BACKOFF_FIELD: Field =
    field("backoff_strategy", Word(BACKOFF), "How the pauses grow.").or("fallback");

const AGENT: &[Field] = &[
    field("host", Text, "The broker.")
        .must()
        .eg("amqp://guest:guest@rabbit:5672/"),
    NAME,
    EXCHANGE,
    DURABLE,
    DELETE,
    EXCLUSIVE,
    NO_WAIT,
    NO_LOCAL,
    AUTO_ACK,
    NACK,
    COUNT,
    SIZE,
];

const CONSUMER: &[Field] = &[
    NAME,
    EXCHANGE,
    DURABLE,
    DELETE,
    EXCLUSIVE,
    NO_WAIT,
    NO_LOCAL,
    AUTO_ACK,
    NACK,
    COUNT,
    SIZE,
    RETRIES,
    BACKOFF_FIELD,
    field("routing_key", List(&Text), "What is bound.")
        .must()
        .eg("[\"#\"]"),
];

const PRODUCES: &[Field] = &[
    NAME,
    EXCHANGE,
    DURABLE,
    DELETE,
    EXCLUSIVE,
    NO_WAIT,
    NO_LOCAL,
    AUTO_ACK,
    NACK,
    COUNT,
    SIZE,
    RETRIES,
    BACKOFF_FIELD,
    field(
        "routing_key",
        Text,
        "The key, or the parameter that holds it.",
    )
    .must(),
    field("static_routing_key", Flag, "It is the key itself.").or("false"),
    field("mandatory", Flag, "It must reach a queue.").or("false"),
    field("immediate", Flag, "It must reach a consumer at once.").or("false"),
    field("exp_key", Text, "The parameter with the expiry."),
    field(
        "reply_to_key",
        Text,
        "The parameter with the address of the answer.",
    ),
    field("msg_id_key", Text, "The parameter with the id."),
    field("priority_key", Text, "The parameter with the priority."),
];

/// Parts that several of them use.
pub(super) const PARTS: &[Part] = &[
    part("kafka_cluster", Object(CLUSTER), "A Kafka cluster."),
    part("kafka_group", Object(GROUP), "A consumer group."),
    part(
        "kafka_producer",
        Object(PRODUCER),
        "How messages are written.",
    ),
];

/// The namespaces.
pub(super) const ENTRIES: &[Entry] = &[
    entry("async/amqp", &[A], Object(AGENT), "Messages of RabbitMQ."),
    entry(
        "async/kafka",
        &[A],
        Object(&[
            field("cluster", Ref("kafka_cluster"), "The cluster.").must(),
            field("group", Ref("kafka_group"), "The consumer group."),
            field("key_meta", Text, "The header field with the key."),
        ]),
        "Messages of Kafka.",
    )
    .enterprise(),
    entry(
        "backend/amqp/consumer",
        &[B],
        Object(CONSUMER),
        "One message of a queue for each request.",
    ),
    entry(
        "backend/amqp/producer",
        &[B],
        Object(PRODUCES),
        "The body of a request becomes a message.",
    ),
    entry(
        "backend/pubsub/publisher",
        &[B],
        Object(&[field("topic_url", Text, "The topic, after the host.").must()]),
        "The body of a request is published.",
    ),
    entry(
        "backend/pubsub/subscriber",
        &[B],
        Object(&[field(
            "subscription_url",
            Text,
            "The subscription, after the host.",
        )
        .must()]),
        "One message of a subscription for each request.",
    ),
    entry(
        "backend/pubsub/publisher/kafka",
        &[B],
        Object(&[
            field("success_status_code", Int, "The status of success.").or("200"),
            field(
                "writer",
                Object(&[
                    field("cluster", Ref("kafka_cluster"), "The cluster.").must(),
                    field(
                        "producer",
                        Ref("kafka_producer"),
                        "How messages are written.",
                    ),
                    field("topic", Text, "The topic.").must(),
                    field("key_meta", Text, "The header field with the key."),
                ]),
                "Where to.",
            )
            .must(),
        ]),
        "The body of a request is published to Kafka.",
    )
    .enterprise(),
    entry(
        "backend/pubsub/subscriber/kafka",
        &[B],
        Object(&[field(
            "reader",
            Object(&[
                field("cluster", Ref("kafka_cluster"), "The cluster.").must(),
                field("group", Ref("kafka_group"), "The consumer group."),
                field("topics", List(&Text), "The topics.").must(),
                field("key_meta", Text, "The header field with the key."),
            ]),
            "Where from.",
        )
        .must()]),
        "One message of Kafka for each request.",
    )
    .enterprise(),
];
