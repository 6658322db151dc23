//! Writers of capture files, byte by byte from the formats' documents, for the tests beside them.
//!
//! They share nothing with the reader and check nothing: what a test asks for is written, sound or not.

/// Byte order of what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

pub(crate) const ORDERS: [Order; 2] = [Order::Little, Order::Big];

impl Order {
    pub(crate) fn u16(self, value: u16) -> [u8; 2] {
        if self == Order::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    pub(crate) fn u32(self, value: u32) -> [u8; 4] {
        if self == Order::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    pub(crate) fn u64(self, value: u64) -> [u8; 8] {
        if self == Order::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }
}

pub(crate) const MICRO: u32 = 0xa1b2_c3d4;
pub(crate) const NANO: u32 = 0xa1b2_3c4d;
pub(crate) const MODIFIED: u32 = 0xa1b2_cd34;

pub(crate) const ETHERNET: u16 = 1;

/// A classic capture being written.
pub(crate) struct Pcap {
    order: Order,
    magic: u32,
    pub(crate) bytes: Vec<u8>,
}

impl Pcap {
    pub(crate) fn new(order: Order, magic: u32, link_type: u16) -> Pcap {
        Pcap::with(order, magic, link_type, 4, 65_535)
    }

    pub(crate) fn with(order: Order, magic: u32, link_type: u16, minor: u16, snaplen: u32) -> Pcap {
        let mut bytes = order.u32(magic).to_vec();
        bytes.extend(order.u16(2));
        bytes.extend(order.u16(minor));
        bytes.extend([0; 8]);
        bytes.extend(order.u32(snaplen));
        bytes.extend(order.u32(u32::from(link_type)));
        Pcap { order, magic, bytes }
    }

    pub(crate) fn record(&mut self, seconds: u32, fraction: u32, len: u32, data: &[u8]) -> &mut Pcap {
        self.record_claiming(seconds, fraction, data.len() as u32, len, data)
    }

    pub(crate) fn record_claiming(
        &mut self,
        seconds: u32,
        fraction: u32,
        captured: u32,
        len: u32,
        data: &[u8],
    ) -> &mut Pcap {
        for word in [seconds, fraction, captured, len] {
            self.bytes.extend(self.order.u32(word));
        }
        if self.magic == MODIFIED {
            self.bytes.extend([0xee; 8]);
        }
        self.bytes.extend(data);
        self
    }
}

/// An option: code and value.
pub(crate) type Opt = (u16, Vec<u8>);

/// A pcapng capture being written.
pub(crate) struct Pcapng {
    pub(crate) order: Order,
    pub(crate) bytes: Vec<u8>,
}

impl Pcapng {
    /// Begins with a section header.
    pub(crate) fn new(order: Order) -> Pcapng {
        let mut file = Pcapng { order, bytes: Vec::new() };
        file.section(order);
        file
    }

    pub(crate) fn section(&mut self, order: Order) -> &mut Pcapng {
        self.order = order;
        let mut body = order.u32(0x1a2b_3c4d).to_vec();
        body.extend(order.u16(1));
        body.extend(order.u16(0));
        body.extend([0xff; 8]);
        self.options(&mut body, &[(4, b"a test".to_vec())]);
        self.block(0x0a0d_0d0a, &body)
    }

    pub(crate) fn interface(&mut self, link_type: u16, snaplen: u32, options: &[Opt]) -> &mut Pcapng {
        let mut body = self.order.u16(link_type).to_vec();
        body.extend([0; 2]);
        body.extend(self.order.u32(snaplen));
        self.options(&mut body, options);
        self.block(1, &body)
    }

    pub(crate) fn enhanced(
        &mut self,
        interface: u32,
        units: u64,
        len: u32,
        data: &[u8],
        options: &[Opt],
    ) -> &mut Pcapng {
        let mut body = Vec::new();
        for word in [interface, (units >> 32) as u32, units as u32, data.len() as u32, len] {
            body.extend(self.order.u32(word));
        }
        pad(&mut body, data);
        self.options(&mut body, options);
        self.block(6, &body)
    }

    pub(crate) fn obsolete(&mut self, interface: u16, drops: u16, units: u64, len: u32, data: &[u8]) -> &mut Pcapng {
        let mut body = self.order.u16(interface).to_vec();
        body.extend(self.order.u16(drops));
        for word in [(units >> 32) as u32, units as u32, data.len() as u32, len] {
            body.extend(self.order.u32(word));
        }
        pad(&mut body, data);
        self.block(2, &body)
    }

    pub(crate) fn simple(&mut self, len: u32, data: &[u8]) -> &mut Pcapng {
        let mut body = self.order.u32(len).to_vec();
        pad(&mut body, data);
        self.block(3, &body)
    }

    pub(crate) fn statistics(&mut self, interface: u32, options: &[Opt]) -> &mut Pcapng {
        let mut body = self.order.u32(interface).to_vec();
        body.extend([0; 8]);
        self.options(&mut body, options);
        self.block(5, &body)
    }

    pub(crate) fn block(&mut self, kind: u32, body: &[u8]) -> &mut Pcapng {
        let total = self.order.u32(body.len() as u32 + 12);
        self.bytes.extend(self.order.u32(kind));
        self.bytes.extend(total);
        self.bytes.extend(body);
        self.bytes.extend(total);
        self
    }

    fn options(&self, body: &mut Vec<u8>, options: &[Opt]) {
        for (code, value) in options {
            body.extend(self.order.u16(*code));
            body.extend(self.order.u16(value.len() as u16));
            pad(body, value);
        }
        if !options.is_empty() {
            body.extend([0; 4]);
        }
    }
}

fn pad(body: &mut Vec<u8>, data: &[u8]) {
    body.extend(data);
    body.resize(body.len().next_multiple_of(4), 0);
}
