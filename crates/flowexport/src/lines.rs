//! Ready-made lines, such as EVE events: each a message with its line end, on streams and datagrams alike.

use crate::message::{Encoder, Item, Message, NotCarried};

pub(crate) struct Lines;

impl Encoder for Lines {
    fn push(&mut self, item: &Item, out: &mut Vec<Message>) -> Result<(), NotCarried> {
        if let Item::Line(line) = item {
            let mut bytes = Vec::with_capacity(line.len() + 1);
            bytes.extend_from_slice(line);
            bytes.push(b'\n');
            out.push(Message { bytes, items: 1, records: 1, again: false });
        }
        Ok(())
    }

    fn flush(&mut self) -> Option<Message> {
        None
    }
}
