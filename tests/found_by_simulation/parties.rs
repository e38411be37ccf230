//! Mistakes of parties.

use coordinator::recipe::party::{self, Kind, Membership};
use coordinator::recipe::{Event, Machine, Mode, Refusal};

use crate::{Store, flight, unique};

/// The deletion belongs to a session that was lost before its answer came.
#[test]
fn a_deletion_that_arrives_late_spares_the_member_that_joined_again() {
    let mut store = Store::default();
    let (before, after) = (store.tree.open(), store.tree.open());
    let mut member = Membership::new("/party", Kind::Deep, &unique(1), None, "member");
    let step = member.join();
    assert_eq!(store.run(before, &mut member, step), Some(party::Report::Joined));
    let late = flight(member.leave());

    let mut again = Membership::new("/party", Kind::Deep, &unique(2), Some(&unique(1)), "member");
    let step = again.join();
    assert_eq!(store.run(after, &mut again, step), Some(party::Report::Joined));
    for request in late {
        let _ = store.ask(before, &request);
    }
    let names: Vec<_> = store.tree.children("/party").unwrap().cloned().collect();
    assert_eq!(names, [format!("{}__party__", unique(2))], "listed, and once");
}

#[test]
fn who_may_have_joined_is_out_again_when_the_second_try_is_refused() {
    let mut store = Store::default();
    let session = store.tree.open();
    store.make(session, "/party", "", Mode::Persistent);
    let mut member = Membership::new("/party", Kind::Shallow, &unique(1), None, "member");
    let create = flight(member.join());
    assert!(store.ask(session, &create[0]).is_ok());
    let again = flight(member.step(Event::Landed(vec![Err(Refusal::ConnectionLost)])));
    assert_eq!(again, create);
    let step = member.step(Event::Landed(vec![Err(Refusal::Full("no room".into()))]));
    let report = store.run(session, &mut member, step);
    assert_eq!(report, Some(party::Report::Failed(Refusal::Full("no room".into()))));
    assert_eq!(store.tree.children("/party").unwrap().count(), 0);
}
