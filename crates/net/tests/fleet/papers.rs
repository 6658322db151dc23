//! Papers that are renewed.

use hivewall_net::Limits;
use hivewall_trust::{HostKey, Identity};

use crate::bed::{Bed, PATIENCE, unix_s, wait_for_all};

#[test]
fn papers_are_renewed_at_a_third_of_their_life_kept_and_used() {
    let bed = Bed::new(140);
    // Issued forty days ago for ninety: a third is over.
    let then = unix_s() - 40 * 86_400;
    let first = Identity::first(&bed.root, HostKey::from_seed([1; 32]), then).unwrap();
    let key = HostKey::from_seed([2; 32]);
    let papers = first.enroller().unwrap().issue(key.public(), then).unwrap();
    let old = papers.passport.not_after;
    let second = Identity::new(key, papers, None).unwrap();
    let one = Bed::start_as(first, "127.0.0.1:0", &[], bed.disk(), Limits::default());
    let two = Bed::start_as(second, "127.0.0.1:0", &[one.address], bed.disk(), Limits::default());
    let hosts = [one, two];
    wait_for_all(&hosts, PATIENCE);
    for host in &hosts {
        host.wait("the papers are new", PATIENCE, |state| state.certificate_ends_unix_s > old + 30 * 86_400);
        assert!(host.kept.lock().unwrap().0.as_ref().is_some_and(|kept| kept.passport().not_after > old));
    }
    let answer = hosts[0].handle.ask_anew(hosts[1].id, b"abc".to_vec(), PATIENCE);
    assert_eq!(answer.as_deref(), Ok(b"cba".as_slice()));
}
