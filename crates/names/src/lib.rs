//! From copied payload to names and times: DNS, TLS, QUIC, HTTP, SSH, handshakes and answers. No I/O, no clock.
#![forbid(unsafe_code)]
