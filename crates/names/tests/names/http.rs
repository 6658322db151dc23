//! HTTP/1.x heads: what is read of them, in which order they answer, where the next one begins.

use expect_test::{Expect, expect};

use crate::talk::{ACK, CLIENT, Talk, check};

const SERVER: &str = "192.0.2.9:80";

fn check_request(head: &str, expected: Expect) {
    check(|talk| _ = talk.tcp((CLIENT, SERVER), ACK, 1, 1, head.as_bytes()), expected);
}

/// Plays requests and responses, each in one segment, 1 ms apart.
fn exchange(talk: &mut Talk, parts: &[(bool, &str)]) {
    let (mut up, mut down) = (1001, 5001);
    for (request, text) in parts {
        if *request {
            talk.tcp((CLIENT, SERVER), ACK, up, down, text.as_bytes());
            up += text.len() as u32;
        } else {
            talk.tcp((SERVER, CLIENT), ACK, down, up, text.as_bytes());
            down += text.len() as u32;
        }
        talk.wait_us(1000);
    }
}

#[test]
fn a_request_tells_method_target_host_agent_and_referer() {
    check_request(
        "GET /a?b=c HTTP/1.1\r\nHost: www.example.org:8080\r\nUser-Agent: curl/8\r\nReferer: http://x/\r\n\r\n",
        expect![[r#"
            #0 GET /a?b=c 1.1 host="www.example.org" agent="curl/8" referer="http://x/"
        "#]],
    );
    check_request(
        "POST http://user@[2001:db8::1]:81/p HTTP/1.0\nhost:  ignored\n\n",
        expect![[r#"
            #0 POST http://user@[2001:db8::1]:81/p 1.0 host="2001:db8::1"
        "#]],
    );
    check_request(
        "CONNECT mail.example.org:993 HTTP/1.1\r\nHost: proxy\r\n\r\n",
        expect![[r#"
            #0 CONNECT mail.example.org:993 1.1 host="mail.example.org"
        "#]],
    );
}

#[test]
fn long_values_are_cut() {
    let mut talk = Talk::new();
    talk.copied = usize::MAX;
    let head = format!("GET /{} HTTP/1.1\r\nUser-Agent: {}\r\n\r\n", "a".repeat(3000), "b".repeat(3000));
    talk.tcp((CLIENT, SERVER), ACK, 1, 1, head.as_bytes());
    let hivewall_model::Learned::HttpRequest(request) = &talk.out[0].learned else { panic!("no request") };
    assert_eq!((request.target.len(), request.user_agent.as_ref().unwrap().len()), (1024, 256));
}

#[test]
fn responses_answer_requests_in_order_and_bodies_are_passed_over() {
    check(
        |talk| {
            exchange(
                talk,
                &[
                    (true, "POST /1 HTTP/1.1\r\nContent-Length: 23\r\n\r\nGET /no HTTP/1.1\r\n\r\n.."),
                    (true, ".\r\n"),
                    (false, "HTTP/1.1 100 Continue\r\n\r\n"),
                    (true, "GET /2 HTTP/1.1\r\n\r\nHEAD /3 HTTP/1.1\r\n\r\n"),
                    (false, "HTTP/1.1 200 OK\r\nContent-Length: 19\r\nContent-Type: text/plain\r\n\r\nHTTP/1.1 4"),
                    (false, "04 no\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\nHTTP/1.1 200 OK\r\n"),
                    (false, "Content-Length: 5\r\n\r\nHTTP/1.1 500 who asked?\r\nContent-Length: 0\r\n\r\n"),
                ],
            );
        },
        // The body of /1 ends with the second segment's first byte; empty lines may stand before a request.
        expect![[r#"
            #0 POST /1 1.1
            100 to Some(0) None None after Some(2ms)
            #1 GET /2 1.1
            #2 HEAD /3 1.1
            200 to Some(0) Some("text/plain") Some(19) after Some(4ms)
            304 to Some(1) None Some(99) after Some(2ms)
            200 to Some(2) None Some(5) after Some(3ms)
            500 to None None Some(0) after None
        "#]],
    );
}

#[test]
fn heads_are_found_however_they_are_cut_into_segments() {
    let requests =
        "GET /1 HTTP/1.1\r\nHost: a.org\r\n\r\nPUT /2 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /3 HTTP/1.0\r\n\r\n";
    for piece in 1..requests.len() {
        let mut talk = Talk::new();
        for (at, part) in requests.as_bytes().chunks(piece).enumerate() {
            talk.tcp((CLIENT, SERVER), ACK, 1001 + (at * piece) as u32, 1, part);
        }
        let expected = "#0 GET /1 1.1 host=\"a.org\"\n#1 PUT /2 1.1\n#2 GET /3 1.0\n";
        assert_eq!(talk.picture(), expected, "segments of {piece} bytes");
    }
}

#[test]
fn behind_bytes_that_were_not_copied_the_next_head_is_found_where_a_segment_begins() {
    check(
        |talk| {
            // A body of 10,000 bytes of which the datapath copies nothing, then one of unknown length.
            // The head has 42 bytes.
            talk.tcp((SERVER, CLIENT), ACK, 1, 1, b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n");
            talk.tcp((SERVER, CLIENT), ACK, 10_043, 1, b"HTTP/1.1 201 Made\r\n\r\nHTTP/1.1 299 in a body\r\n\r\n");
            talk.tcp((SERVER, CLIENT), ACK, 20_000, 1, b"nothing of interest");
            talk.tcp((SERVER, CLIENT), ACK, 30_000, 1, b"HTTP/1.1 202 Taken\r\n\r\n");
        },
        expect![[r#"
            200 to None None Some(10000) after None
            201 to None None None after None
            202 to None None None after None
        "#]],
    );
}

#[test]
fn of_a_head_that_was_not_copied_whole_the_front_is_read() {
    let head = format!("GET / HTTP/1.1\r\nHost: a.org\r\nCookie: {}\r\n\r\n", "x".repeat(3000));
    check(
        |talk| {
            talk.tcp((CLIENT, SERVER), ACK, 1, 1, head.as_bytes());
            talk.tcp((CLIENT, SERVER), ACK, 1 + head.len() as u32, 1, b"GET /2 HTTP/1.1\r\n\r\n");
        },
        expect![[r#"
            #0 GET / 1.1 host="a.org"
            #1 GET /2 1.1
            (1 http_incomplete)
        "#]],
    );
}

#[test]
fn what_is_no_head_is_told_from_one() {
    check_request("GET\r\n\r\n", expect![""]);
    check_request("GET / HTTP/2.0\r\n\r\n", expect![["(1 http_malformed)\n"]]);
    check_request("GET /\r\n", expect![["(1 http_malformed)\n"]]);
    check_request("\x16\x01GET / HTTP/1.1\r\n\r\n", expect![""]);
    // Line by line it is sent again until it fits.
    let endless = format!("GET / HTTP/1.1\r\n{}", "A: b\r\n".repeat(4000));
    check(
        |talk| {
            for (at, part) in endless.as_bytes().chunks(1000).enumerate() {
                talk.tcp((CLIENT, SERVER), ACK, 1 + at as u32 * 1000, 1, part);
            }
        },
        expect![[r#"
            (1 http_malformed)
        "#]],
    );
}
