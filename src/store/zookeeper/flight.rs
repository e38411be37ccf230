//! A flight: requests that go out together, and their answers.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use zookeeper_client::{
    Acls, CreateMode, CreateOptions, Error as ClientError, EventType, OneshotWatcher, Stat as ClientStat,
};

use super::line::{Line, OVER};
use super::{multi, refusal};
use crate::recipe::{Answer, Change, Details, Fired, Mode, Refusal, Reply, Request, Stat};
use crate::session::{Moment, State};
use crate::store::{Landed, Watch};

/// An answer, and the watch that the request left.
pub(super) type Heard = (Answer, Option<OneshotWatcher>);

/// Why there is none; with the index of the part of a multi that failed.
pub(super) type Failure = (Option<usize>, ClientError);

/// A request that was submitted. Borrows the client, not the request.
pub(super) type Pending<'line> = Pin<Box<dyn Future<Output = Result<Heard, Failure>> + Send + 'line>>;

/// What every request of a flight is told when the session is over.
pub(super) fn lost(requests: usize) -> Landed {
    Landed { replies: vec![Err(OVER); requests], watches: Vec::new() }
}

/// Carries out a flight. The first poll submits all its requests, in order, and is never ready.
pub(super) async fn fly(line: Arc<Line>, flight: Vec<Request>) -> Landed {
    let sent = flight.iter().any(asks_leader).then(Moment::now);
    let pending: Vec<_> = flight.iter().map(|request| submit(&line, request)).collect();
    wait_for_second_poll().await;

    let mut states = line.session.subscribe();
    let landed = tokio::select! {
        biased;
        _ = states.wait_for(|state| *state == State::Lost) => return lost(flight.len()),
        landed = land(&line, &flight, pending, sent) => landed,
    };
    // After a stop of this process the answers may be there, and the session gone.
    if line.session.state() == State::Lost { lost(flight.len()) } else { landed }
}

async fn wait_for_second_poll() {
    let mut polled = false;
    poll_fn(|_| if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

async fn land(line: &Line, flight: &[Request], pending: Vec<Pending<'_>>, sent: Option<Moment>) -> Landed {
    let mut landed = Landed { replies: Vec::with_capacity(flight.len()), watches: Vec::new() };
    let mut confirmed = false;
    for (request, heard) in flight.iter().zip(all(pending).await) {
        let from_leader =
            heard.as_ref().map_or_else(|(_, error)| refusal::comes_from_leader(error), |_| true);
        confirmed |= from_leader && asks_leader(request);
        landed.replies.push(reply(line, request, heard, &mut landed.watches));
    }
    if let (true, Some(sent)) = (confirmed, sent) {
        line.confirmed(sent);
    }
    landed
}

/// Waits for the last first: answers come in order, so the others are there by then, and this task
/// is woken once and not for each.
async fn all(mut pending: Vec<Pending<'_>>) -> Vec<Result<Heard, Failure>> {
    let last = match pending.pop() {
        Some(last) => Some(last.await),
        None => None,
    };
    let mut heard = Vec::with_capacity(pending.len() + 1);
    for earlier in pending {
        heard.push(earlier.await);
    }
    heard.extend(last);
    heard
}

fn reply(line: &Line, request: &Request, heard: Result<Heard, Failure>, watches: &mut Vec<Watch>) -> Reply {
    let (part, error) = match heard {
        Ok((answer, left)) => {
            watches.extend(left.map(watch));
            return Ok(answer);
        }
        Err(failure) => failure,
    };
    let failed = match (part, request) {
        (Some(index), Request::Multi(parts)) => parts.get(index).unwrap_or(request),
        _ => request,
    };
    let refusal = refusal::of(&error, path_of(failed));
    match part {
        _ if refusal == OVER => {
            line.session.end(format!("the servers ended the session: {error}"));
            Err(OVER)
        }
        Some(index) if refusal != Refusal::ConnectionLost => Err(Refusal::Part(index, Box::new(refusal))),
        _ => Err(refusal),
    }
}

/// Only these are answered by the leader; reads are answered by the server we are connected to.
fn asks_leader(request: &Request) -> bool {
    !matches!(
        request,
        Request::Get { .. } | Request::Stat { .. } | Request::List { .. } | Request::Check { .. }
    )
}

fn path_of(request: &Request) -> &str {
    match request {
        Request::Create { path, .. }
        | Request::Delete { path, .. }
        | Request::Set { path, .. }
        | Request::Get { path, .. }
        | Request::Stat { path, .. }
        | Request::List { path, .. }
        | Request::Sync { path }
        | Request::Check { path, .. } => path,
        Request::Multi(_) => "a multi",
    }
}

/// Submits one request: every call of the client library does so before it returns.
fn submit<'line>(line: &'line Line, request: &'line Request) -> Pending<'line> {
    let client = &line.client;
    match request {
        Request::Create { path, data, mode } => {
            let created = client.create(path, data, &options(*mode, line));
            Box::pin(async move {
                let (stat, sequence) = created.await.map_err(whole)?;
                let path = if mode.is_sequential() { format!("{path}{sequence}") } else { path.clone() };
                Ok((Answer::Created { path, stat: known(&stat) }, None))
            })
        }
        Request::Delete { path, version } => {
            let deleted = client.delete(path, *version);
            Box::pin(async move { deleted.await.map(|()| (Answer::Done, None)).map_err(whole) })
        }
        Request::Set { path, data, version } => {
            let set = client.set_data(path, data, *version);
            Box::pin(async move { set.await.map(|stat| (Answer::Set(known(&stat)), None)).map_err(whole) })
        }
        Request::Sync { path } => {
            let synced = client.sync(path);
            Box::pin(async move { synced.await.map(|()| (Answer::Done, None)).map_err(whole) })
        }
        Request::Get { .. } | Request::Stat { .. } | Request::List { .. } => submit_read(line, request),
        Request::Check { .. } => {
            Box::pin(async { Err(whole(ClientError::BadArguments(&"a check stands only inside a multi"))) })
        }
        Request::Multi(parts) => multi::submit(line, parts),
    }
}

fn submit_read<'line>(line: &'line Line, request: &'line Request) -> Pending<'line> {
    let client = &line.client;
    match request {
        Request::Get { path, watch: true } => {
            let read = client.get_and_watch_data(path);
            Box::pin(async move {
                let (data, stat, watcher) = read.await.map_err(whole)?;
                Ok((Answer::Data { data, stat: known(&stat) }, Some(watcher)))
            })
        }
        Request::Get { path, .. } => {
            let read = client.get_data(path);
            Box::pin(async move {
                let (data, stat) = read.await.map_err(whole)?;
                Ok((Answer::Data { data, stat: known(&stat) }, None))
            })
        }
        Request::Stat { path, watch: true } => {
            let read = client.check_and_watch_stat(path);
            Box::pin(async move {
                let (stat, watcher) = read.await.map_err(whole)?;
                Ok((Answer::Stat(stat.as_ref().map(known)), Some(watcher)))
            })
        }
        Request::Stat { path, .. } => {
            let read = client.check_stat(path);
            Box::pin(async move {
                let stat = read.await.map_err(whole)?;
                Ok((Answer::Stat(stat.as_ref().map(known)), None))
            })
        }
        Request::List { path, watch: true } => {
            let read = client.list_and_watch_children(path);
            Box::pin(async move {
                let (children, watcher) = read.await.map_err(whole)?;
                Ok((Answer::Children(children), Some(watcher)))
            })
        }
        request => {
            let read = client.list_children(path_of(request));
            Box::pin(
                async move { read.await.map(|children| (Answer::Children(children), None)).map_err(whole) },
            )
        }
    }
}

pub(super) fn whole(error: ClientError) -> Failure {
    (None, error)
}

pub(super) fn options(mode: Mode, line: &Line) -> CreateOptions<'_> {
    let mode = match mode {
        Mode::Persistent => CreateMode::Persistent,
        Mode::Ephemeral => CreateMode::Ephemeral,
        Mode::EphemeralSequential => CreateMode::EphemeralSequential,
        Mode::PersistentSequential => CreateMode::PersistentSequential,
    };
    mode.with_acls(Acls::new(&line.access))
}

pub(super) fn known(stat: &ClientStat) -> Stat {
    let details = Details {
        created_at: stat.ctime,
        modified_at: stat.mtime,
        children_modified: stat.pzxid,
        children_version: stat.cversion,
        access_version: stat.aversion,
        length: stat.data_length,
        children: stat.num_children,
    };
    let (created, modified, owner) = (stat.czxid, stat.mzxid, stat.ephemeral_owner);
    Stat { created, modified, version: stat.version, owner, details }
}

/// Ends when the node changes. The end of the session is no change: then it stays pending.
fn watch(watcher: OneshotWatcher) -> Watch {
    Box::pin(async move {
        let event = watcher.changed().await;
        let change = match event.event_type {
            EventType::NodeCreated => Change::Created,
            EventType::NodeDeleted => Change::Deleted,
            EventType::NodeDataChanged => Change::Changed,
            EventType::NodeChildrenChanged => Change::Children,
            EventType::Session => return std::future::pending().await,
        };
        Fired { path: event.path, change }
    })
}
