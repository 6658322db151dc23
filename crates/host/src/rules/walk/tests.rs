//! Answers about packets, from listings.
