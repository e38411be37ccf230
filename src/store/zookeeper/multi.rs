//! Several changes in one transaction, and what it made.

use std::sync::atomic::Ordering::Relaxed;

use zookeeper_client::{Error as ClientError, MultiWriteError, MultiWriteResult, Stat as ClientStat};

use super::flight::{Pending, known, options, whole};
use super::line::Line;
use crate::recipe::{Answer, Details, Mode, Request, Stat};

/// Submits a transaction, before it returns.
pub(super) fn submit<'line>(line: &'line Line, parts: &'line [Request]) -> Pending<'line> {
    let mut writer = line.client.new_multi_writer();
    for (index, part) in parts.iter().enumerate() {
        let added = match part {
            Request::Create { path, data, mode } => writer.add_create(path, data, &options(*mode, line)),
            Request::Delete { path, version } => writer.add_delete(path, *version),
            Request::Set { path, data, version } => writer.add_set_data(path, data, *version),
            Request::Check { path, version } => writer.add_check_version(path, version.unwrap_or(-1)),
            _ => Err(ClientError::BadArguments(&"a multi has only creates, deletes, sets and checks")),
        };
        if let Err(error) = added {
            return Box::pin(async move { Err((Some(index), error)) });
        }
    }
    let committed = writer.commit();
    // Right behind it, so that it costs no flight of its own.
    let asked = known_last(parts)
        .filter(|_| !line.multi_tells.load(Relaxed))
        .map(|path| line.client.check_stat(path));
    Box::pin(async move {
        // The last answer first, as in a flight.
        let last = match asked {
            Some(asked) => asked.await.ok().flatten(),
            None => None,
        };
        let results = committed.await.map_err(|error| match error {
            MultiWriteError::RequestFailed { source } => (None, source),
            MultiWriteError::OperationFailed { index, source } => (Some(index), source),
        })?;
        let last = made_by(line, &results, last).await.map_err(whole)?;
        let answers =
            parts.iter().zip(results).map(|(part, result)| answer(line, part, result, last.as_ref()));
        Ok((Answer::Multi(answers.collect::<Result<_, _>>().map_err(whole)?), None))
    })
}

/// The path of the last node that is made, if it is known before.
fn known_last(parts: &[Request]) -> Option<&str> {
    let last = parts.iter().rev().find_map(|part| match part {
        Request::Create { path, mode, .. } => Some((path, mode)),
        _ => None,
    });
    last.filter(|(_, mode)| !mode.is_sequential()).map(|(path, _)| path.as_str())
}

/// The last node that was made, if the servers did not tell of it with the rest: those before 3.8.2 do not
/// (ZOOKEEPER-4026). One that is gone by now was made all the same: to the caller, the outcome is unknown.
async fn made_by(
    line: &Line,
    results: &[MultiWriteResult],
    known: Option<ClientStat>,
) -> Result<Option<ClientStat>, ClientError> {
    let last = results.iter().rev().find_map(|result| match result {
        MultiWriteResult::Create { path, stat } => Some((path, stat)),
        _ => None,
    });
    match last {
        Some((path, stat)) if stat.is_invalid() => match known {
            Some(stat) => Ok(Some(stat)),
            None => line.client.check_stat(path).await?.map(Some).ok_or(ClientError::ConnectionLoss),
        },
        Some(_) => {
            line.multi_tells.store(true, Relaxed);
            Ok(None)
        }
        None => Ok(None),
    }
}

fn answer(
    line: &Line,
    part: &Request,
    result: MultiWriteResult,
    last: Option<&ClientStat>,
) -> Result<Answer, ClientError> {
    match (result, part, last) {
        (MultiWriteResult::Check | MultiWriteResult::Delete, ..) => Ok(Answer::Done),
        (MultiWriteResult::SetData { stat }, ..) => Ok(Answer::Set(known(&stat))),
        (MultiWriteResult::Create { path, stat }, ..) if !stat.is_invalid() => {
            Ok(Answer::Created { path, stat: known(&stat) })
        }
        (MultiWriteResult::Create { path, .. }, Request::Create { data, mode, .. }, Some(last)) => {
            Ok(Answer::Created { path, stat: made_with(line, last, data, *mode) })
        }
        (other, ..) => {
            Err(ClientError::UnexpectedError(format!("no answer to a part of a multi: {other:?}")))
        }
    }
}

/// A node as it was made, known from another that the same transaction made: they have its number and time.
fn made_with(line: &Line, other: &ClientStat, data: &[u8], mode: Mode) -> Stat {
    let (number, time) = (other.czxid, other.ctime);
    let details = Details {
        created_at: time,
        modified_at: time,
        children_modified: number,
        length: i32::try_from(data.len()).unwrap_or(i32::MAX),
        ..Details::default()
    };
    let owner = if mode.is_ephemeral() { line.client.session_id().0 } else { 0 };
    Stat { created: number, modified: number, version: 0, owner, details }
}
