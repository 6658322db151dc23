//! A reader of NetFlow v9 and IPFIX made from the RFCs alone, which shares nothing with the encoder.
//!
//! It panics where a message breaks the rules: lengths that do not add up, records without a template.

use std::collections::BTreeMap;

/// A record: element → its bytes.
pub(super) type Found = BTreeMap<u16, Vec<u8>>;

#[derive(Default)]
pub(super) struct Reader {
    /// Template → its fields; whether they are options.
    templates: BTreeMap<u16, (Vec<(u16, u16)>, bool)>,
    pub(super) data: Vec<Found>,
    pub(super) options: Vec<Found>,
}

fn short(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

impl Reader {
    pub(super) fn read(&mut self, message: &[u8]) {
        let nine = match short(message, 0) {
            9 => true,
            10 => {
                assert_eq!(usize::from(short(message, 2)), message.len());
                false
            }
            other => panic!("version {other}"),
        };
        let mut rest = &message[if nine { 20 } else { 16 }..];
        let mut count = 0;
        while !rest.is_empty() {
            let (id, length) = (short(rest, 0), usize::from(short(rest, 2)));
            assert!(length > 4 && length <= rest.len(), "a set of {length} bytes in {}", rest.len());
            assert!(!nine || length % 4 == 0);
            let (set, after) = rest.split_at(length);
            count += self.set(id, &set[4..], nine);
            rest = after;
        }
        if nine {
            assert_eq!(short(message, 2), count, "the count in the header");
        }
    }

    /// Says how many records or templates are in it.
    fn set(&mut self, id: u16, mut body: &[u8], nine: bool) -> u16 {
        let mut count = 0;
        match id {
            0 | 2 => {
                assert_eq!(id == 0, nine);
                while body.len() >= 4 {
                    let (template, fields) = (short(body, 0), usize::from(short(body, 2)));
                    body = self.template(template, &body[4..], fields, false);
                    count += 1;
                }
            }
            1 | 3 => {
                assert_eq!(id == 1, nine);
                while body.len() >= 6 {
                    let fields = if nine {
                        usize::from(short(body, 2) + short(body, 4)) / 4
                    } else {
                        assert!(short(body, 4) > 0, "no scope");
                        usize::from(short(body, 2))
                    };
                    body = self.template(short(body, 0), &body[6..], fields, true);
                    count += 1;
                }
            }
            _ => {
                let (fields, options) = self.templates.get(&id).expect("a template before its records").clone();
                while body.len() >= fields.iter().map(|(_, length)| shortest(*length)).sum() {
                    let (found, after) = record(body, &fields);
                    if options { &mut self.options } else { &mut self.data }.push(found);
                    body = after;
                    count += 1;
                }
            }
        }
        assert!(body.len() < 4 && body.iter().all(|byte| *byte == 0), "{body:?} is left of set {id}");
        count
    }

    fn template<'a>(&mut self, id: u16, body: &'a [u8], fields: usize, options: bool) -> &'a [u8] {
        assert!(id >= 256);
        let (mine, rest) = body.split_at(fields * 4);
        let fields = mine.chunks(4).map(|field| (short(field, 0), short(field, 2))).collect();
        self.templates.insert(id, (fields, options));
        rest
    }
}

fn shortest(length: u16) -> usize {
    if length == u16::MAX { 1 } else { usize::from(length) }
}

fn record<'a>(mut body: &'a [u8], fields: &[(u16, u16)]) -> (Found, &'a [u8]) {
    let mut found = Found::new();
    for (id, length) in fields {
        let length = if *length == u16::MAX {
            let length = usize::from(body[0]);
            assert!(length < 255);
            body = &body[1..];
            length
        } else {
            usize::from(*length)
        };
        let (value, rest) = body.split_at(length);
        found.insert(*id, value.to_vec());
        body = rest;
    }
    (found, body)
}
