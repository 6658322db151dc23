//! Puts the web page's built bundle (`web/dist`, committed) into the program, compressed.
#![forbid(unsafe_code)]

fn main() {
    memory_serve::load_directory("../../web/dist");
}
