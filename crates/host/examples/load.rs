use hivewall_host::ebpf::*;
use hivewall_datapath::HashSeed;
fn main() {
    let wb = std::fs::read(std::env::args().nth(1).unwrap()).unwrap();
    let g = Geometry::new(65536, 65536).unwrap();
    let seed = HashSeed { words: [0x12345671,0x9abcdef3,0x3456789b,0x789abcd7,0xdeadbee1,0xcafebabf,0x87654321,0xfedcba97,0x13579bdf,0x2468ace1,0x0f1e2d3d,0x4b5a6979], multiplier: 0x9e3779b97f4a7c15 };
    let mut l = Loaded::load(Object::Bytes(&wb), g, seed).unwrap();
    let progs: Vec<_> = ["empty","parse_only","observe","peer_hash","peer_lru"].into_iter().map(|p| (p, l.test_run(p).unwrap())).collect();
    let mut f = vec![0u8; 64]; f[12]=8; f[14]=0x45; f[17]=50; f[23]=6; f[26..30].copy_from_slice(&[10,0,0,1]); f[30..34].copy_from_slice(&[10,0,0,2]); f[34]=4; f[36]=0; f[37]=80; f[46]=0x50; f[47]=0x10;
    for _ in 0..3 { for (n,p) in &progs { let r = p.run(&f, None, 5_000_000).unwrap(); print!("{n} {} ", r.nanoseconds); } println!(); }
}
