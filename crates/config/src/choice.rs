//! Settings that are one of a few words. A word, its meaning and its variant are written once, in the macro calls.
//!
//! What each choice does is up to whoever reads the configuration. Invariant: the words of one setting differ.

/// One word a setting can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// As written in the file.
    pub name: &'static str,
    /// What it does, one sentence.
    pub meaning: &'static str,
}

macro_rules! choice {
    ($(#[doc = $about:literal])+ $name:ident { $($(#[doc = $meaning:literal])+ $variant:ident = $word:literal,)+ }) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[doc = $meaning])+ $variant,)+
        }

        impl $name {
            /// Every choice, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// Their words and meanings, in the same order.
            pub const CHOICES: &'static [Choice] =
                &[$(Choice { name: $word, meaning: concat!($($meaning),+).trim_ascii() }),+];

            /// The word.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// The choice of this word, which is compared exactly.
            pub fn by_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|choice| choice.name() == name)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

choice! {
    /// What is kept of the packets that an alert rests on.
    AlertCapture {
        /// Nothing.
        Off = "off",
        /// Addresses, ports, flags and lengths: what flows tell as well. No payload.
        Headers = "headers",
        /// The first bytes of payload, too, which may hold names, commands and passwords.
        Peek = "peek",
    }
}

choice! {
    /// How packets are seen.
    Backend {
        /// eBPF where the kernel has it, else AF_PACKET; the log says which, and why.
        Auto = "auto",
        /// eBPF only, on tcx or else clsact; without it the agent does not start.
        Ebpf = "ebpf",
        /// eBPF on tcx hooks (Linux 6.6 and later) only.
        EbpfTcx = "ebpf-tcx",
        /// eBPF on the clsact qdisc only, as kernels before 6.6 have it.
        EbpfClsact = "ebpf-clsact",
        /// AF_PACKET only.
        AfPacket = "af-packet",
    }
}

choice! {
    /// What enforces the policy.
    Enforcement {
        /// Programs of ours in the kernel.
        Ebpf = "ebpf",
        /// A table of our own in nftables.
        Nftables = "nftables",
        /// Chains of our own in iptables and ip6tables.
        Iptables = "iptables",
    }
}

choice! {
    /// Where banned sources are dropped.
    Front {
        /// In the driver, before a buffer is made for the packet; where the driver cannot, where packets are judged.
        Native = "native",
        /// At the entrance of the kernel's network stack, for drivers without support.
        Generic = "generic",
        /// Only where packets are judged.
        Off = "off",
    }
}

choice! {
    /// Whether the agent gives up what it does not need once it has started.
    Sandboxing {
        /// All that this host lets it give up; what is missing is told by name.
        Auto = "auto",
        /// All of it, or the agent does not start.
        Require = "require",
        /// Nothing.
        Off = "off",
    }
}

choice! {
    /// When a login is wanted.
    Login {
        /// Where other hosts can reach the agent; on loopback anybody may read, and commands need a token or a session.
        Auto = "auto",
        /// Always.
        Always = "always",
    }
}

choice! {
    /// The form of the event log.
    LogFormat {
        /// One line per event, for people.
        Console = "console",
        /// The events of `jsonl` as one JSON array per file; the array is closed when the file is.
        Json = "json",
        /// One line per flow, with a heading line; other events have no row and are left out.
        Csv = "csv",
        /// EVE JSON lines: one object per event and line.
        Jsonl = "jsonl",
    }
}

choice! {
    /// How much the agent says about itself.
    LogLevel {
        /// Only what the operator must act on.
        Error = "error",
        /// Also what is degraded.
        Warn = "warn",
        /// Also what starts, stops and changes.
        Info = "info",
        /// Also how decisions come about.
        Debug = "debug",
        /// Everything; slow.
        Trace = "trace",
    }
}
