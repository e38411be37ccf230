//! The nodes of the store themselves, in the session of the recipes.

use std::fmt;
use std::sync::Arc;

use crate::client::Client;
use crate::error::Error;
use crate::recipe::names::ensure;
use crate::recipe::{Answer, Refusal, Reply, Request};
use crate::session::Session;
use crate::store::{BoxFuture, Store, Watch};

/// What can be asked of the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// One request.
    One(Request),
    /// Makes a node and all its ancestors, persistent and empty, where they are missing. Answers
    /// [`Stat`](Answer::Stat) if the node existed, [`Created`](Answer::Created) if not.
    Ensure(String),
    /// Makes a node, and the parents that are missing.
    CreateWithParents(Request),
    /// Names the children of a node, and tells of the node itself: a [`Multi`](Answer::Multi) of
    /// [`Children`](Answer::Children) and [`Stat`](Answer::Stat).
    ListWithStat {
        /// Which node.
        path: String,
        /// Whether to leave a watch on the children.
        watch: bool,
    },
}

/// How a call ended: its reply, and the watch that it left.
pub struct Called {
    /// Also for a [`Call`] that took several requests.
    pub reply: Reply,
    /// None if the call left none, or failed. It never ends if the session ends first.
    pub watch: Option<Watch>,
    /// The session in which it was carried out.
    pub session: Arc<Session>,
}

impl fmt::Debug for Called {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let watches = self.watch.is_some();
        formatter
            .debug_struct("Called")
            .field("reply", &self.reply)
            .field("watches", &watches)
            .finish_non_exhaustive()
    }
}

/// Nodes of the same store, for what a program keeps there beside its recipes. Made by a client.
///
/// Nothing is tried again here: a connection that breaks is answered
/// [`ConnectionLost`](Refusal::ConnectionLost), and the call happened, or it did not.
#[derive(Clone, Debug)]
pub struct Nodes {
    client: Client,
}

impl Nodes {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Carries out a call. While the session lives, calls are carried out in the order in which
    /// this is called: they are submitted before it returns, not when the future is polled.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the session was lost and no new one can be
    /// had. What the store refuses is no error, but a reply.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not take the call back.
    pub fn call(&self, call: Call) -> BoxFuture<Result<Called, Error>> {
        let client = self.client.clone();
        match client.live() {
            Err(error) => Box::pin(async { Err(error) }),
            Ok(Some(store)) => {
                let called = carry_out(store, call);
                Box::pin(async { Ok(called.await) })
            }
            Ok(None) => Box::pin(async move {
                let store = client.store().await?;
                Ok(carry_out(store, call).await)
            }),
        }
    }
}

type Live = Arc<dyn Store>;

fn carry_out(store: Live, call: Call) -> BoxFuture<Called> {
    let session = Arc::clone(store.session());
    match call {
        Call::One(request) => {
            let landed = store.fly(vec![request]);
            Box::pin(async move {
                let mut landed = landed.await;
                Called { reply: last(landed.replies), watch: landed.watches.pop(), session }
            })
        }
        Call::ListWithStat { path, watch } => {
            let stat = Request::Stat { path: path.clone(), watch: false };
            let landed = store.fly(vec![Request::List { path, watch }, stat]);
            Box::pin(async move {
                let mut landed = landed.await;
                let replies: Result<Vec<Answer>, Refusal> = landed.replies.into_iter().collect();
                Called { reply: replies.map(Answer::Multi), watch: landed.watches.pop(), session }
            })
        }
        Call::Ensure(path) => {
            let asked = store.fly(vec![Request::Stat { path: path.clone(), watch: false }]);
            Box::pin(async move {
                let reply = match last(asked.await.replies) {
                    Ok(Answer::Stat(None)) => make(&store, &path, None).await,
                    reply => reply,
                };
                Called { reply, watch: None, session }
            })
        }
        Call::CreateWithParents(create) => {
            let asked = store.fly(vec![create.clone()]);
            Box::pin(async move {
                let reply = match last(asked.await.replies) {
                    Err(Refusal::NoNode) => match parent(&create) {
                        Some(parent) => make(&store, &parent, Some(create)).await,
                        None => Err(Refusal::NoNode),
                    },
                    reply => reply,
                };
                Called { reply, watch: None, session }
            })
        }
    }
}

/// Makes a node with its ancestors, and then another one; the reply is that of the last.
async fn make(store: &Live, path: &str, then: Option<Request>) -> Reply {
    let is_last = then.is_none();
    let flight: Vec<Request> = ensure(path).chain(then).collect();
    let mut replies = store.fly(flight).await.replies;
    match replies.pop() {
        // A parent that cannot be made is the reason.
        Some(Err(Refusal::NoNode)) => {
            let reason =
                replies.into_iter().find_map(|reply| reply.err().filter(|why| *why != Refusal::NodeExists));
            Err(reason.unwrap_or(Refusal::NoNode))
        }
        // Somebody else made it meanwhile.
        Some(Err(Refusal::NodeExists)) if is_last => Ok(Answer::Stat(Some(crate::recipe::Stat::default()))),
        Some(reply) => reply,
        None => last(replies),
    }
}

fn parent(create: &Request) -> Option<String> {
    let Request::Create { path, .. } = create else { return None };
    let (parent, _) = path.trim_end_matches('/').rsplit_once('/')?;
    (!parent.is_empty()).then(|| parent.to_owned())
}

fn last(mut replies: Vec<Reply>) -> Reply {
    replies.pop().unwrap_or_else(|| Err(Refusal::Other("the store gave no answer".to_owned())))
}
