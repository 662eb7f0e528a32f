//! The LLM of the demo: OpenAI's API with a model that repeats what it was told. Answers depend on
//! the request alone, so that a demonstration can be repeated; streams come a word at a time.

use super::message::{Answer, Request};
use super::others::echo;
use crate::base::clock;
use serde_json::{Value, json};
use std::time::Duration;

/// Between two pieces of a stream: slow enough to be seen.
const PAUSE: Duration = Duration::from_millis(60);
const MODELS: [&str; 4] = ["zen-nano", "zen-mini", "zen-1", "zen-embedding"];
const MAX_INPUTS: usize = 2048;
const MAX_DIMENSIONS: u64 = 4096;
/// Words of a prompt that are repeated; a stream of all would take hours.
const MAX_WORDS: usize = 64;

pub(crate) fn answer(request: &Request) -> Answer {
    let post = request.method == "POST";
    match request.path.as_str() {
        "/v1/chat/completions" if post => with_body(request, chat),
        "/v1/completions" if post => with_body(request, complete),
        "/v1/embeddings" if post => with_body(request, embed),
        "/v1/models" if !post => {
            let models: Vec<_> = MODELS.iter().map(|id| model(id)).collect();
            Answer::json(200, &json!({"object": "list", "data": models}))
        }
        path => match path.strip_prefix("/v1/models/") {
            Some(id) if MODELS.contains(&id) => Answer::json(200, &model(id)),
            Some(_) => refuse(404, "no such model"),
            None => Answer::json(200, &echo("llm-gateway", request)),
        },
    }
}

fn model(id: &str) -> Value {
    json!({"id": id, "object": "model", "created": 1_760_000_000, "owned_by": "hanzo"})
}

fn with_body(request: &Request, then: fn(&Value) -> Answer) -> Answer {
    match request.json() {
        Some(body) if body.is_object() => then(&body),
        _ => refuse(400, "the body is no JSON object"),
    }
}

fn refuse(status: u16, message: &str) -> Answer {
    let error = json!({"message": message, "type": "invalid_request_error", "param": null,
        "code": null});
    Answer::json(status, &json!({"error": error}))
}

fn chat(body: &Value) -> Answer {
    let Some(messages) = body["messages"].as_array().filter(|m| !m.is_empty()) else {
        return refuse(400, "messages must be a list with at least one message");
    };
    let users = messages.iter().rev().filter(|m| m["role"] == "user");
    let last = users.map(|m| text_of(&m["content"])).next();
    let reply = reply_to(&last.unwrap_or_default());
    let read: u64 = messages
        .iter()
        .map(|m| tokens(&text_of(&m["content"])) + 3)
        .sum();
    let usage = usage(read, tokens(&reply));
    if body["stream"] == true {
        return stream_chat(body, &reply, &usage);
    }
    let choice = json!({"index": 0, "message": {"role": "assistant", "content": reply},
        "logprobs": null, "finish_reason": "stop"});
    let mut answer = envelope("chatcmpl", "chat.completion", body);
    answer["choices"] = json!([choice]);
    answer["usage"] = usage;
    Answer::json(200, &answer)
}

fn stream_chat(body: &Value, reply: &str, usage: &Value) -> Answer {
    let frame = envelope("chatcmpl", "chat.completion.chunk", body);
    let piece = |delta: Value, finish: Value| {
        let mut piece = frame.clone();
        piece["choices"] = json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
        piece.to_string()
    };
    let role = json!({"role": "assistant", "content": ""});
    let mut events = vec![piece(role, Value::Null)];
    for word in reply.split_inclusive(' ') {
        events.push(piece(json!({"content": word}), Value::Null));
    }
    events.push(piece(json!({}), json!("stop")));
    events.extend(last_usage(body, &frame, usage));
    events.push("[DONE]".to_owned());
    Answer::events(events, PAUSE)
}

fn complete(body: &Value) -> Answer {
    let prompt = text_of(&body["prompt"]);
    let reply = reply_to(&prompt);
    let usage = usage(tokens(&prompt), tokens(&reply));
    let frame = envelope("cmpl", "text_completion", body);
    let with = |text: &str, finish: Value| {
        let mut answer = frame.clone();
        answer["choices"] = json!([{"index": 0, "text": text, "logprobs": null,
            "finish_reason": finish}]);
        answer
    };
    if body["stream"] != true {
        let mut answer = with(&reply, json!("stop"));
        answer["usage"] = usage;
        return Answer::json(200, &answer);
    }
    let words = reply.split_inclusive(' ');
    let mut events: Vec<_> = words.map(|w| with(w, Value::Null).to_string()).collect();
    events.push(with("", json!("stop")).to_string());
    events.extend(last_usage(body, &frame, &usage));
    events.push("[DONE]".to_owned());
    Answer::events(events, PAUSE)
}

/// The piece that carries the usage, for those who asked for it.
fn last_usage(body: &Value, frame: &Value, usage: &Value) -> Option<String> {
    (body["stream_options"]["include_usage"] == true).then(|| {
        let mut piece = frame.clone();
        piece["choices"] = json!([]);
        piece["usage"] = usage.clone();
        piece.to_string()
    })
}

fn embed(body: &Value) -> Answer {
    let inputs: Vec<&str> = match &body["input"] {
        Value::String(text) => vec![text],
        Value::Array(list) if !list.is_empty() && list.iter().all(Value::is_string) => {
            list.iter().filter_map(Value::as_str).collect()
        }
        _ => return refuse(400, "input must be a string or a list of strings"),
    };
    let wanted = match &body["dimensions"] {
        Value::Null => Some(64),
        given => given.as_u64().filter(|n| (1..=MAX_DIMENSIONS).contains(n)),
    };
    let Some(dimensions) = wanted.filter(|_| inputs.len() <= MAX_INPUTS) else {
        return refuse(400, "too many inputs or dimensions");
    };
    // Both limits at once would make an answer of hundreds of megabytes.
    if inputs.len() as u64 * dimensions > MAX_DIMENSIONS * 64 {
        return refuse(400, "too many inputs or dimensions");
    }
    let vectors = inputs.iter().enumerate().map(|(index, text)| {
        json!({"object": "embedding", "index": index, "embedding": vector(text, dimensions)})
    });
    let data: Vec<_> = vectors.collect();
    let read: u64 = inputs.iter().map(|text| tokens(text)).sum();
    let model = name_of_model(body, "zen-embedding");
    let usage = json!({"prompt_tokens": read, "total_tokens": read});
    Answer::json(
        200,
        &json!({"object": "list", "data": data, "model": model, "usage": usage}),
    )
}

/// A vector of length one that depends on the text alone.
fn vector(text: &str, dimensions: u64) -> Vec<f64> {
    let mut state = hash(text) | 1;
    let mut raw = Vec::new();
    for _ in 0..dimensions {
        // xorshift: good enough to look like noise.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        raw.push((state >> 11) as f64 / (1u64 << 53) as f64 - 0.5);
    }
    let length = raw.iter().map(|x| x * x).sum::<f64>().sqrt();
    let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
    raw.iter().map(|x| x * scale).collect()
}

/// FNV-1a, which is the same on every machine and in every version.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn envelope(prefix: &str, object: &str, body: &Value) -> Value {
    json!({
        "id": format!("{prefix}-{:016x}", fastrand::u64(..)),
        "object": object,
        "created": clock::since_epoch().as_secs(),
        "model": name_of_model(body, "zen-1"),
    })
}

fn name_of_model(body: &Value, default: &str) -> String {
    body["model"].as_str().unwrap_or(default).to_owned()
}

fn reply_to(prompt: &str) -> String {
    let words: Vec<_> = prompt.split_whitespace().take(MAX_WORDS).collect();
    match words.is_empty() {
        true => "Say something and I will repeat it.".to_owned(),
        false => format!("You said: {}", words.join(" ")),
    }
}

/// Text of a message: a string, or the text parts of a list.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts = parts.iter().filter_map(|p| p["text"].as_str());
            texts.collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    }
}

/// Four characters make a token, more or less.
fn tokens(text: &str) -> u64 {
    text.chars().count().div_ceil(4) as u64
}

fn usage(read: u64, written: u64) -> Value {
    json!({"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written})
}

#[cfg(test)]
mod tests {
    use super::super::message::Body;
    use super::super::server::tests::{started, talk};
    use super::*;
    use std::sync::Arc;

    fn post(path: &str, body: &Value) -> Request {
        Request {
            method: "POST".to_owned(),
            path: path.to_owned(),
            body: body.to_string().into(),
            ..Request::default()
        }
    }

    fn whole(answer: Answer) -> Value {
        let Body::Full(body) = answer.body else {
            panic!("streamed");
        };
        serde_json::from_slice(&body).unwrap()
    }

    #[test]
    fn repeats_the_last_message_of_the_user() {
        let body = json!({"model": "zen-mini", "messages": [
            {"role": "user", "content": "first"}, {"role": "user", "content": "second"}]});
        let answer = whole(answer(&post("/v1/chat/completions", &body)));
        assert_eq!(
            answer["choices"][0]["message"]["content"],
            "You said: second"
        );
        assert_eq!(answer["model"], "zen-mini");
        assert_eq!(answer["usage"]["total_tokens"], 14);
    }

    #[tokio::test]
    async fn streams_a_word_at_a_time_and_ends_with_done() {
        let (address, _tasks) = started(Arc::new(super::answer)).await;
        let body = r#"{"stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
        let text = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = talk(address, text.as_bytes()).await;
        assert!(answer.contains("Content-Type: text/event-stream\r\n"));
        let data = answer.lines().filter_map(|l| l.strip_prefix("data: "));
        let data: Vec<_> = data.collect();
        assert_eq!(data.len(), 6);
        assert_eq!(data[5], "[DONE]");
        let pieces: Vec<Value> = data[..5]
            .iter()
            .map(|d| serde_json::from_str(d).unwrap())
            .collect();
        assert_eq!(pieces[0]["choices"][0]["delta"]["role"], "assistant");
        let words: Vec<_> = pieces[1..4]
            .iter()
            .filter_map(|p| p["choices"][0]["delta"]["content"].as_str())
            .collect();
        assert_eq!(words, ["You ", "said: ", "hi"]);
        assert_eq!(pieces[4]["choices"][0]["finish_reason"], "stop");
    }

    #[test]
    fn gives_the_usage_at_the_end_of_a_stream_when_asked() {
        let body = json!({"stream": true, "stream_options": {"include_usage": true},
            "prompt": "a"});
        let answer = answer(&post("/v1/completions", &body));
        let Body::Stream { pieces, .. } = answer.body else {
            panic!("not streamed");
        };
        let last = &pieces[pieces.len() - 2];
        assert!(last.starts_with(b"data: {") && find(last, "total_tokens"));
    }

    fn find(text: &[u8], what: &str) -> bool {
        String::from_utf8_lossy(text).contains(what)
    }

    #[test]
    fn embeds_the_same_text_to_the_same_vector_of_length_one() {
        let body = json!({"input": ["a", "b", "a"], "dimensions": 8});
        let answer = whole(answer(&post("/v1/embeddings", &body)));
        let of = |i: usize| answer["data"][i]["embedding"].clone();
        assert_eq!(of(0), of(2));
        assert_ne!(of(0), of(1));
        let squares = of(0)
            .as_array()
            .unwrap()
            .iter()
            .map(|x| x.as_f64().unwrap().powi(2))
            .sum::<f64>();
        assert!((squares - 1.0).abs() < 1e-9);
    }

    #[test]
    fn refuses_what_is_no_request() {
        for body in [
            json!(null),
            json!({}),
            json!({"messages": []}),
            json!({"messages": 1}),
        ] {
            assert_eq!(answer(&post("/v1/chat/completions", &body)).status, 400);
        }
        let huge = json!({"input": vec!["a"; 2000], "dimensions": 4096});
        for body in [
            huge,
            json!({"input": "a", "dimensions": 0}),
            json!({"input": []}),
        ] {
            assert_eq!(answer(&post("/v1/embeddings", &body)).status, 400);
        }
    }

    #[test]
    fn knows_its_models() {
        let get = |path: &str| {
            let mut request = post(path, &Value::Null);
            request.method = "GET".to_owned();
            answer(&request)
        };
        assert_eq!(get("/v1/models/zen-1").status, 200);
        assert_eq!(get("/v1/models/other").status, 404);
        assert_eq!(
            whole(get("/v1/models"))["data"].as_array().unwrap().len(),
            4
        );
    }
}
