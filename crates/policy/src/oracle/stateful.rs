//! What a policy means for the packets of flows, one after another: replies, policy changes, connections that stay.
