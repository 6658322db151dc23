//! The datapath's integers, as the map API wants them.

use hivewall_datapath::policy::{Connection, ConnectionKey, Limit, PolicyHead, Row, RuleEntry};

macro_rules! bytes {
    ($($name:ident($of:ty);)+) => {
        $(
            #[derive(Clone, Copy)]
            #[repr(transparent)]
            pub(super) struct $name(pub(super) $of);

            // SAFETY: `repr(C)` integers without padding, for which any bytes will do.
            unsafe impl aya::Pod for $name {}
        )+
    };
}

bytes! {
    HeadBytes(PolicyHead);
    RowBytes(Row);
    RuleBytes(RuleEntry);
    LimitBytes(Limit);
    ConnectionKeyBytes(ConnectionKey);
    ConnectionBytes(Connection);
}
