//! The stores: each passes the same calls.
#![cfg(feature = "store")]

#[macro_use]
mod conformance;

mod memory {
    use std::sync::Arc;

    use coordinator::ErrorKind;
    use coordinator::recipe::{Answer, Mode, Refusal};
    use coordinator::session::State;
    use coordinator::store::memory::Memory;

    use crate::conformance::Place;

    async fn place() -> Place {
        Place::new(Arc::new(Memory::new()), ()).await
    }

    conformance!(place);

    #[tokio::test]
    async fn an_expired_session_is_told() {
        let memory = Memory::new();
        let place = Place::new(Arc::new(memory.clone()), ()).await;
        let (one, two) = (place.open().await, place.open().await);
        one.make("/e", Mode::Ephemeral).await;
        memory.expire(one.store.session().id());
        assert_eq!(one.store.session().state(), State::Lost);
        assert_eq!(one.store.session().check().map_err(|error| error.kind()), Err(ErrorKind::LockLost));
        assert_eq!(one.ask(one.get("/e", false)).await, Err(Refusal::SessionLost));
        assert_eq!(two.ask(two.stat("/e", false)).await, Ok(Answer::Stat(None)));
    }
}

#[cfg(feature = "embedded")]
mod embedded {
    use std::sync::Arc;

    use coordinator::store::embedded::Embedded;

    use crate::conformance::Place;

    async fn place() -> Place {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Place::new(Arc::new(Embedded::new(directory.path().join("store"))), directory).await
    }

    conformance!(place);
}
