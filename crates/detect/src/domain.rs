//! Domain names as detectors look at them: the registered part, how random a text looks, and which look-ups are odd by design.
//!
//! The registered domain is found without the public suffix list: an error there merges or parts counts of neighbours under
//! one suffix, which costs precision and no attack. Invariant: no name panics.

/// The registered domain and what stands before it: `a.b.example.co.uk` is `example.co.uk` and `a.b`. `None` for names of one
/// label.
pub(crate) fn split(name: &str) -> Option<(&str, &str)> {
    let name = name.trim_end_matches('.');
    let mut dots = name.rmatch_indices('.').map(|(at, _)| at);
    let last = dots.next()?;
    let Some(second) = dots.next() else { return Some((name, "")) };
    let top = name.get(last + 1..)?;
    // A tunnel that needs no domain, because it asks its own server: what it is called stands in front, if anywhere.
    if !is_top(top) {
        return name.split_once('.');
    }
    let middle = name.get(second + 1..last)?;
    // Country codes with registries below: co.uk, com.au, ne.jp, gov.br.
    let is_suffix = top.len() == 2
        && matches!(
            middle,
            "co" | "com"
                | "net"
                | "org"
                | "gov"
                | "edu"
                | "ac"
                | "ne"
                | "or"
                | "go"
                | "gob"
                | "mil"
                | "nom"
                | "ltd"
                | "in"
        );
    let at = if is_suffix { dots.next() } else { Some(second) };
    Some(match at {
        Some(at) => (name.get(at + 1..)?, name.get(..at)?),
        None => (name, ""),
    })
}

/// Whether a last label could be a top-level domain: letters, or an internationalized one (RFC 5890).
fn is_top(label: &str) -> bool {
    label.starts_with("xn--") || label.len() <= 24 && label.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// Keys and policies of mail under a sender's domain (RFC 6376, RFC 7489), of which a mail server asks for many.
pub(crate) fn is_mail_key(rest: &str) -> bool {
    rest.len() <= 80
        && (rest.contains("_domainkey") || rest.starts_with("_dmarc") || rest.rsplit('.').next() == Some("dkim"))
}

/// Shannon entropy of a text's bytes without its dots, in bits per byte.
pub(crate) fn entropy(text: &str) -> f64 {
    let mut counts = [0_u32; 256];
    let mut all = 0.0;
    for byte in text.bytes().filter(|byte| *byte != b'.') {
        if let Some(count) = counts.get_mut(byte as usize) {
            *count += 1;
            all += 1.0;
        }
    }
    counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / all).map(|p| -p * p.log2()).sum()
}

/// Reverse look-ups, and addresses asked for in lists (`4.3.2.1.list.example`): four numbers or sixteen nibbles in front.
pub(crate) fn is_reversed_address(name: &str) -> bool {
    if name.ends_with(".in-addr.arpa") || name.ends_with(".ip6.arpa") {
        return true;
    }
    let numbers = name.split('.').take_while(|label| label.parse::<u8>().is_ok()).count();
    let nibbles = name.split('.').take_while(|label| label.len() == 1 && label.as_bytes().is_ascii()).count();
    numbers >= 4 || nibbles >= 16
}

/// Domains under which products look up hashes of files and addresses, so that long random names there are what they are for.
const HASH_LOOKUPS: [&str; 16] = [
    "sophosxl.net",
    "mcafee.com",
    "avqs.com",
    "e5.sk",
    "trendmicro.com",
    "cymru.com",
    "spamhaus.net",
    "spamhaus.org",
    "barracudacentral.org",
    "msbl.org",
    "surbl.org",
    "uribl.com",
    "senderbase.org",
    "webcfs00.com",
    "avast.com",
    "kaspersky-labs.com",
];

/// Whether long random names under a registered domain are what it is for.
pub(crate) fn is_hash_lookup(registered: &str) -> bool {
    HASH_LOOKUPS.iter().any(|known| registered.eq_ignore_ascii_case(known))
}

/// The pairs of letters that most words are made of: about 80 % of the pairs in English text and in names of sites, and a fifth
/// of all that there are.
const COMMON: &str = "th he in er an re on at en nd ti es or te of ed is it al ar st to nt ng se ha as ou io le ve co me de hi ri \
ro ic ne ea ra ce li ch ll be ma si om ur ca el ta la ns di fo ho pe ec pr no ct us ac ot il tr ly nc et ut ss so rs un lo wa ge ie \
wh ee wi em ad ol rt po we na ul ni ts mo ow pa im mi ai sh ir su id os iv ia am fi ci vi pl ig tu ev ld ry mp fe bl ab gh ty op wo \
sa ay ex ke ui fr oo ag if do bo ap up og oc ei da bi ga go ub ob ck ki od av br cl ue ep gr va ef cr au ba bu ho ru im eb oo pi mu";

/// The same, to look up: a bit for each second letter, by the first.
static IS_COMMON: [u32; 26] = pairs(COMMON.as_bytes());

#[expect(clippy::indexing_slicing, reason = "worked out when this is compiled, where a panic is an error")]
const fn pairs(mut words: &[u8]) -> [u32; 26] {
    let mut table = [0; 26];
    while let [first, second, rest @ ..] = words {
        table[(*first - b'a') as usize] |= 1 << (*second - b'a');
        words = match rest {
            [_, rest @ ..] => rest,
            [] => rest,
        };
    }
    table
}

fn is_common(pair: &[u8]) -> bool {
    let [first @ b'a'..=b'z', second @ b'a'..=b'z'] = pair else { return false };
    IS_COMMON.get(usize::from(first - b'a')).is_some_and(|seconds| seconds >> (second - b'a') & 1 == 1)
}

/// Whether a label looks like letters drawn by a machine rather than words: few of its pairs are those of words, or digits stand
/// in the middle of it.
pub(crate) fn is_random(label: &str) -> bool {
    let label = label.to_ascii_lowercase();
    if label.len() < 7 || label.starts_with("xn--") {
        return false;
    }
    let bytes: Vec<u8> = label.bytes().filter(u8::is_ascii_alphanumeric).collect();
    let pairs = bytes.windows(2).count().max(1);
    let common = bytes.windows(2).filter(|pair| is_common(pair)).count();
    let changes =
        bytes.windows(2).filter(|pair| matches!(pair, [a, b] if a.is_ascii_digit() != b.is_ascii_digit())).count();
    common as f64 / (pairs as f64) < 0.45 || changes >= 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_the_pairs_of_the_list_and_no_others() {
        for first in 0..=u8::MAX {
            for second in 0..=u8::MAX {
                let is_listed = COMMON.split(' ').any(|pair| pair.as_bytes() == [first, second]);
                assert_eq!(is_common(&[first, second]), is_listed, "{first} {second}");
            }
        }
    }

    #[test]
    fn the_registered_part_is_found() {
        for (name, registered, rest) in [
            ("a.b.example.com", "example.com", "a.b"),
            ("example.com", "example.com", ""),
            ("x.example.co.uk", "example.co.uk", "x"),
            ("example.co.uk.", "example.co.uk", ""),
            ("dnscat.0a1b2c.d3e4f5", "dnscat", "0a1b2c.d3e4f5"),
            ("a.xn--p1ai", "a.xn--p1ai", ""),
        ] {
            assert_eq!(split(name), Some((registered, rest)), "{name}");
        }
        assert_eq!(split("localhost"), None);
        assert_eq!(split(""), None);
    }

    #[test]
    fn names_made_of_words_are_not_random() {
        for label in [
            "wikipedia",
            "stackoverflow",
            "googlesyndication",
            "bundesregierung",
            "microsoftonline",
            "netflix",
            "cloudfront",
        ] {
            assert!(!is_random(label), "{label}");
        }
        for label in ["xjwqkzpvbt", "q7x2m9k4w1z", "kqvzxjhwpgt", "fgqrwxzkvbnm", "yxdqzkwjvfh"] {
            assert!(is_random(label), "{label}");
        }
    }

    #[test]
    fn addresses_asked_for_in_lists_are_known() {
        assert!(is_reversed_address("4.3.2.1.zen.spamhaus.org"));
        assert!(is_reversed_address("1.2.0.192.in-addr.arpa"));
        assert!(!is_reversed_address("1.2.example.org"));
        assert!(entropy("aaaa") < 0.01 && (entropy("abcdabcd") - 2.0).abs() < 0.01);
    }
}
