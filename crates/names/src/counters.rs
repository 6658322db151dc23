//! What was read and what was refused, by reason. One table gives names and meanings.

/// A counter since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Name in metrics and snapshots.
    pub name: &'static str,
    /// What is counted.
    pub meaning: &'static str,
    /// How often.
    pub count: u64,
    /// Whether something was not read, rather than read.
    pub refused: bool,
}

macro_rules! counters {
    ($($variant:ident $name:literal $meaning:literal)*) => {
        /// What is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Count { $($variant),* }

        const NAMES: &[(&str, &str)] = &[$(($name, $meaning)),*];
    };
}

counters! {
    DnsMessages "dns_messages" "DNS messages read"
    TlsHellos "tls_hellos" "TLS ClientHellos read, those in QUIC included"
    QuicHellos "quic_hellos" "TLS ClientHellos read from QUIC Initial packets"
    HttpRequests "http_requests" "heads of HTTP/1.x requests read"
    HttpResponses "http_responses" "heads of HTTP/1.x responses read"
    SshBanners "ssh_banners" "SSH identification lines read"
    Handshakes "handshakes" "TCP handshakes timed"
    RoundTrips "round_trips" "requests and answers of DNS, QUIC and ICMP echo timed"
    Duplicate "duplicate" "copies of what had been read: the same packet at another interface, or sent again"
    DnsMalformed "dns_malformed" "payload on DNS ports whose header or question cannot be read"
    DnsPartial "dns_partial" "DNS messages read up to a record that cannot be read or was not copied"
    TlsMalformed "tls_malformed" "payload that began as a ClientHello and is none"
    TlsIncomplete "tls_incomplete" "ClientHellos of which a part was not copied; the server name is told where it was there"
    HttpMalformed "http_malformed" "payload that began as an HTTP/1.x head and is none"
    HttpIncomplete "http_incomplete" "HTTP/1.x heads of which the end was not copied; what was there is told"
    QuicMalformed "quic_malformed" "QUIC Initial packets that cannot be read"
    QuicUndecryptable "quic_undecryptable" "QUIC Initial packets of another version, or not of a conversation's first flight"
    Oversize "oversize" "messages longer than what is assembled"
    Gaps "gaps" "segments that were waited for and did not come"
    TableFull "table_full" "unfinished matters given up for newer ones"
    Stale "stale" "half-assembled messages forgotten after a quiet time"
}

/// All counters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts([u64; NAMES.len()]);

impl Counts {
    /// Counts one.
    #[inline]
    pub(crate) fn add(&mut self, count: Count) {
        if let Some(counter) = self.0.get_mut(count as usize) {
            *counter += 1;
        }
    }

    /// All of them with their names.
    pub(crate) fn list(&self) -> Vec<Counter> {
        let named = NAMES.iter().zip(self.0).enumerate();
        // What was read stands first in the table, then what was not.
        let refused = |at| at > Count::Duplicate as usize;
        named.map(|(at, (&(name, meaning), count))| Counter { name, meaning, count, refused: refused(at) }).collect()
    }
}
