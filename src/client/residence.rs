//! Applications that move between scopes, as the engine carries it out.

use crate::client::attendant::carry;
use crate::client::{Client, wall_clock};
use crate::error::{Error, ErrorKind};
use crate::model::Member;
use crate::recipe::names::ensure;
use crate::recipe::{Answer, Mode, Refusal, Reply, Request};
use crate::scope::{Book, Change, Paths, Report};

/// What a store calls itself, so that it is known by whatever address it is reached.
const IDENTITY: &str = "/coordinator/store";

impl Client {
    /// What the store calls itself: it is given a name when it is first asked.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) if the store does not answer,
    /// [`Invalid`](ErrorKind::Invalid) if it does not let us.
    pub async fn store_identity(&self) -> Result<String, Error> {
        let name = uuid::Uuid::new_v4().simple().to_string();
        loop {
            let store = self.store().await?;
            let parents: Vec<Request> = ensure("/coordinator").collect();
            let create = Request::Create {
                path: IDENTITY.to_owned(),
                data: name.clone().into_bytes(),
                mode: Mode::Persistent,
            };
            let get = Request::Get { path: IDENTITY.to_owned(), watch: false };
            let reading = store.fly(vec![Request::Sync { path: IDENTITY.to_owned() }, get.clone()]).await;
            let mut reply = reading.replies.into_iter().next_back();
            if reply == Some(Err(Refusal::NoNode)) {
                let flight = parents.into_iter().chain([create, get]).collect();
                reply = store.fly(flight).await.replies.into_iter().next_back();
            }
            match reply {
                Some(Ok(Answer::Data { data, .. })) => return Ok(String::from_utf8_lossy(&data).into_owned()),
                Some(Err(Refusal::ConnectionLost | Refusal::SessionLost)) => {}
                other => return Err(self.unread(IDENTITY, other)),
            }
        }
    }

    /// Has `application` coordinate in `scope` no more, from `epoch` on. Returns the epoch in which that
    /// is so: a later one, if it was done before.
    ///
    /// # Errors
    ///
    /// [`Conflict`](ErrorKind::Conflict) while one of its units holds a lock there;
    /// [`Unavailable`](ErrorKind::Unavailable) if the store does not answer.
    pub async fn move_out(&self, scope: &str, application: &str, epoch: u64) -> Result<u64, Error> {
        self.moved(scope, application, move |book| book.move_out(epoch)).await
    }

    /// The epoch in which `application` came to `scope`, or left it: then `false`. `None` if it was never
    /// there.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) if the store does not answer.
    pub async fn residence(&self, scope: &str, application: &str) -> Result<Option<(u64, bool)>, Error> {
        let read = |book: &mut Book| Ok(book.residence().map(|note| (note.epoch, note.open)));
        self.moved(scope, application, read).await
    }

    async fn moved<T: Send + 'static>(
        &self,
        scope: &str,
        application: &str,
        decide: impl FnMut(&mut Book) -> Result<T, Error> + Clone + Send + 'static,
    ) -> Result<T, Error> {
        let paths = Paths::new(scope)?;
        loop {
            let store = self.store().await?;
            let (me, application) = (Member::new("mover")?, Some(application.to_owned()));
            let change = Change::new(paths.clone(), me, application, wall_clock(), decide.clone());
            match carry(&store, change).await {
                Some(Report::Done(done, _)) => return Ok(done),
                Some(Report::Refused(error)) => {
                    let message = format!("scope {scope:?} on {}: {error}", self.address());
                    return Err(Error::new(error.kind(), message));
                }
                Some(Report::Failed(refusal)) => {
                    return Err(self.refused("scope", paths.root(), &refusal));
                }
                Some(Report::Withdrawn) | None => {}
            }
        }
    }

    fn unread(&self, path: &str, reply: Option<Reply>) -> Error {
        match reply {
            Some(Err(refusal)) => self.refused("reading", path, &refusal),
            _ => Error::new(
                ErrorKind::Unavailable,
                format!("reading {path} on {}: it gave no answer", self.address()),
            ),
        }
    }
}
