//! Conversations as Go's client and server were heard to hold them.

use super::*;
use proptest::prelude::*;
use std::cell::RefCell;

#[derive(Default)]
struct Heard(RefCell<Vec<String>>);

impl Calls for Heard {
    fn add(&self, elements: &[&[u8]]) -> usize {
        let texts = elements
            .iter()
            .map(|e| String::from_utf8_lossy(e).into_owned());
        self.0.borrow_mut().extend(texts);
        elements.len()
    }

    fn check(&self, elements: &[&[u8]]) -> Vec<bool> {
        elements.iter().map(|e| e.starts_with(b"jti-")).collect()
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
        .collect()
}

/// The messages in a stream.
fn messages(mut stream: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while !stream.is_empty() {
        let mut reader = Reader(stream);
        let length = reader.uint().unwrap() as usize;
        all.push(reader.bytes(length).unwrap().to_vec());
        stream = reader.0;
    }
    all
}

fn say(conversation: &mut Conversation, heard: &Heard, stream: &[u8]) -> Result<Vec<u8>, Broken> {
    let mut out = Vec::new();
    for message in messages(stream) {
        conversation.take(&message, heard, &mut out)?;
    }
    Ok(out)
}

/// What Go's client sent for `Add("jti-a", "jti-b")`, `Check("jti-a", "x")`, an unknown method and an unknown service.
const ADD: &str = "2e7f030101075265717565737401ff80000102010d536572766963654d6574686f64010c000103536571010600000017ff80
    0112426c6f6f6d66696c7465725250432e4164640021ff8103010108416464496e70757401ff820001010105456c656d7301ff840000
    0017ff83020101095b5d5b5d75696e743801ff8400010a000011ff820102056a74692d61056a74692d6200";
const CHECK: &str = "1bff800114426c6f6f6d66696c7465725250432e436865636b01010023ff890301010a436865636b496e70757401ff8a0001
    010105456c656d7301ff840000000dff8a0102056a74692d61017800";
const NO_METHOD: &str = "1aff800113426c6f6f6d66696c7465725250432e4e6f706501020003ff8a00";
const NO_SERVICE: &str = "11ff80010a4f746865722e4e6f706501030003ff8a00";

#[test]
fn answers_are_gos_own_but_for_the_numbers_of_types() {
    let (heard, mut talk) = (Heard::default(), Conversation::default());
    let said = say(&mut talk, &heard, &bytes(ADD)).unwrap();
    assert_eq!(*heard.0.borrow(), ["jti-a", "jti-b"]);
    // Go counts its types from 67 on, because its client has defined some in the same process.
    let go = "3aff8503010108526573706f6e736501ff86000103010d536572766963654d6574686f64010c00010353657101060001054572726f7201
        0c00000017ff860112426c6f6f6d66696c7465725250432e4164640021ff87030101094164644f757470757401ff880001010105436f75
        6e74010400000005ff88010400";
    let renamed = |mut bytes: Vec<u8>, from: &[u8], to: &[u8]| {
        for at in 0..bytes.len() {
            if bytes[at] == 0xff {
                let known = from.iter().position(|id| Some(id) == bytes.get(at + 1));
                if let Some(known) = known {
                    bytes[at + 1] = to[known];
                }
            }
        }
        bytes
    };
    let (go_ids, our_ids) = ([0x85, 0x86, 0x87, 0x88], [0x81, 0x82, 0x83, 0x84]);
    assert_eq!(said, renamed(bytes(go), &go_ids, &our_ids));
    let said = say(&mut talk, &heard, &bytes(CHECK)).unwrap();
    let head = bytes("1bff820114426c6f6f6d66696c7465725250432e436865636b01010014ff87020101065b5d626f6f6c01ff8800010200
        0025ff850301010b436865636b4f757470757401ff860001010106436865636b7301ff8800000007ff860102010000");
    assert_eq!(said, head);
    let said = say(&mut talk, &heard, &bytes(NO_METHOD)).unwrap();
    assert!(String::from_utf8_lossy(&said).contains("rpc: can't find method BloomfilterRPC.Nope"));
    let said = say(&mut talk, &heard, &bytes(NO_SERVICE)).unwrap();
    let go = bytes(
        "35ff86010a4f746865722e4e6f7065010301227270633a2063616e27742066696e642073657276696365204f746865722e4e6f70650003ff9000",
    );
    assert_eq!(said, renamed(go, &[0x86, 0x90], &[0x82, 0x8a]));
}

#[test]
fn numbers_are_written_as_they_are_read() {
    for number in [0, 1, 127, 128, 255, 256, 65_535, 1 << 32, u64::MAX] {
        let mut out = Vec::new();
        push_uint(&mut out, number);
        assert_eq!(Reader(&out).uint(), Ok(number));
    }
    for number in [0, 1, -1, 63, -64, 64, -65, i64::MAX, i64::MIN] {
        let mut out = Vec::new();
        push_int(&mut out, number);
        assert_eq!(Reader(&out).int(), Ok(number));
    }
    assert_eq!(uint_rest(0x80), Err(Broken));
    assert_eq!(uint_rest(0xf8), Ok(8));
}

#[test]
fn a_filter_as_a_whole_is_refused_and_the_conversation_goes_on() {
    let (heard, mut talk) = (Heard::default(), Conversation::default());
    say(&mut talk, &heard, &bytes(ADD)).unwrap();
    let mut request = vec![1];
    push_text(&mut request, b"BloomfilterRPC.Union");
    let mut out = Vec::new();
    finish(64, request, &mut out);
    finish(70, vec![1, 3, 9, 9, 9], &mut out);
    let said = say(&mut talk, &heard, &out).unwrap();
    assert!(String::from_utf8_lossy(&said).contains("cannot be taken over"));
    assert!(say(&mut talk, &heard, &bytes(CHECK)).is_ok());
}

#[test]
fn lists_that_say_more_than_there_is_end_the_conversation() {
    let heard = Heard::default();
    for argument in [
        &[1, 0xf8, 255, 255, 255, 255, 255, 255, 255, 255, 1][..],
        &[1, 5, 1, 65, 0],
        &[2, 1],
        &[1, 1, 1, 65, 9],
    ] {
        let mut request = vec![1];
        push_text(&mut request, b"BloomfilterRPC.Add");
        let mut out = Vec::new();
        finish(64, request, &mut out);
        finish(66, argument.to_vec(), &mut out);
        let said = say(&mut Conversation::default(), &heard, &out);
        assert_eq!(said, Err(Broken), "{argument:?}");
    }
    assert!(heard.0.borrow().is_empty());
}

proptest! {
    #[test]
    fn no_bytes_bring_it_down(all in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..8)) {
        let (heard, mut talk, mut out) = (Heard::default(), Conversation::default(), Vec::new());
        for message in all {
            if talk.take(&message, &heard, &mut out).is_err() {
                break;
            }
        }
    }
}
