//! Every refusal has a number: why a frame is in no flow. The same names stand in metrics, logs, TUI and docs.

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $label:literal, $invalid:literal;)+) => {
        /// Why a frame, or a part of it, was counted apart from the flows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name = $number,)+
        }

        impl Reason {
            /// All reasons, in the order of their numbers.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)+];

            /// The label shown everywhere.
            pub fn label(self) -> &'static str {
                match self { $(Reason::$name => $label,)+ }
            }

            /// One sentence for the documentation.
            pub fn doc(self) -> &'static str {
                match self { $(Reason::$name => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// Whether the frame breaks a standard (against: merely not an IP flow).
            pub fn is_invalid(self) -> bool {
                match self { $(Reason::$name => $invalid,)+ }
            }

            /// Whether a frame that is counted so is dropped where a policy is enforced: it claims to be IP, and cannot be
            /// read as such.
            #[inline(always)]
            pub fn is_refused(self) -> bool {
                // By number, for the kernel: a table of booleans would be memory.
                let number = self as u32;
                number == Reason::ShortEthernet as u32
                    || number >= Reason::BadIpv4Header as u32 && number <= Reason::ShortFirstFragment as u32
                    || number == Reason::Snapped as u32
                    || number == Reason::OverlappingFragment as u32
            }

            /// The reason with this number.
            pub fn from_number(number: u32) -> Option<Reason> {
                match number { $($number => Some(Reason::$name),)+ _ => None }
            }
        }
    };
}

reasons! {
    /// Fewer than 14 bytes: no Ethernet header.
    ShortEthernet = 1, "short_ethernet", true;
    /// The third VLAN tag: at most two are looked through.
    TooManyTags = 2, "too_many_tags", false;
    /// Address Resolution Protocol.
    Arp = 3, "arp", false;
    /// IEEE 802.3 length instead of an EtherType (LLC: STP, IS-IS and others).
    Llc = 4, "llc", false;
    /// MPLS label stack; labelled packets are not looked into.
    Mpls = 5, "mpls", false;
    /// An EtherType that is not IP.
    OtherEtherType = 6, "other_ethertype", false;
    /// The frame ends inside the IPv4 header, or its version or header length is impossible.
    BadIpv4Header = 7, "bad_ipv4_header", true;
    /// IPv4 total length smaller than its header or larger than the frame.
    BadIpv4Length = 8, "bad_ipv4_length", true;
    /// The frame ends inside the IPv6 header, or its version is not 6.
    BadIpv6Header = 9, "bad_ipv6_header", true;
    /// IPv6 payload length larger than the frame.
    BadIpv6Length = 10, "bad_ipv6_length", true;
    /// An IPv6 extension header is cut off.
    BadIpv6Extension = 11, "bad_ipv6_extension", true;
    /// More than eight IPv6 extension headers, or headers beyond the first 512 bytes.
    TooManyExtensions = 12, "too_many_extensions", true;
    /// TCP header cut off, or its data offset impossible.
    BadTcpHeader = 13, "bad_tcp_header", true;
    /// UDP header cut off, or its length impossible.
    BadUdpHeader = 14, "bad_udp_header", true;
    /// ICMP or ICMPv6 header cut off.
    BadIcmpHeader = 15, "bad_icmp_header", true;
    /// SCTP, DCCP or UDP-Lite header cut off.
    BadTransportHeader = 16, "bad_transport_header", true;
    /// The first fragment of a datagram is too short to hold the transport header.
    ShortFirstFragment = 17, "short_first_fragment", true;
    /// The link layer of this interface or capture is not one that can be read.
    UnknownLink = 18, "unknown_link", false;
    /// The capture's snapshot length cut the headers off; the packet itself may be sound.
    Snapped = 19, "snapped", false;
    /// A tunnel's inner packet could not be read (the outer packet is in its flow).
    InnerUnread = 20, "inner_unread", false;
    /// More than one segment in one buffer (GSO/GRO): segments beyond the first, which interface counters that count buffers leave out.
    Segments = 21, "gso_segments", false;
    /// The flow cache could not be reached: a broken map. Must stay 0.
    NoCache = 22, "no_cache", false;
    /// A capture claims that the packet was longer than 256 MiB, which none can be.
    ImpossibleLength = 23, "impossible_length", true;
    /// A later fragment that would overwrite the TCP header of the first one (RFC 3128).
    OverlappingFragment = 24, "overlapping_fragment", true;
}
