//! What tests and benchmarks are made of: frames, captures, generated traffic, network namespaces.
//!
//! Nothing here is ever a normal dependency, and nothing here knows the product: frames are written from the
//! protocols' own documents and traffic is counted where it is made, so that a test compares the product with
//! something that cannot share its mistakes. It holds no assertions about hivewall.
//!
//! Invariant: what a generator says it sent is what left the socket, and whatever a test makes in the kernel
//! (namespaces, interfaces, processes inside them) is gone when its [`netns::Lab`] is dropped.

pub mod generate;
pub mod netns;
pub mod packet;
pub mod pcap;
pub mod probe;
pub mod traffic;
