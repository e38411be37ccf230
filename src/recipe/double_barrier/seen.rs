//! What a member of a double barrier reads of it.

use crate::recipe::leases::only_leases as only_unique;
use crate::recipe::{Answer, Refusal, Reply, Stat, unexpected};

/// What one reading tells.
pub(super) struct Seen {
    pub(super) ready: Option<Stat>,
    /// Ours, unless somebody removed it.
    pub(super) own: Option<Stat>,
    pub(super) path: Stat,
    pub(super) data: Vec<u8>,
    pub(super) members: Vec<String>,
}

impl Seen {
    pub(super) fn read(replies: Vec<Reply>) -> Result<Self, Refusal> {
        match <[Reply; 4]>::try_from(replies) {
            Ok(
                [
                    Ok(Answer::Stat(ready)),
                    own @ (Ok(Answer::Data { .. }) | Err(Refusal::NoNode)),
                    Ok(Answer::Data { data, stat: path }),
                    Ok(Answer::Children(children)),
                ],
            ) => {
                let own = match own {
                    Ok(Answer::Data { stat, .. }) => Some(stat),
                    _ => None,
                };
                Ok(Self { ready, own, path, data, members: only_unique(children) })
            }
            Ok([ready, own, path, children]) => {
                // Ours comes last: that it is gone says nothing of the path.
                let refusal = [path, ready, children, own].into_iter().find_map(Result::err);
                Err(refusal.unwrap_or_else(|| unexpected(None)))
            }
            Err(_) => Err(unexpected(None)),
        }
    }

    /// The transaction at which a round was opened after we came: by a member of ours, or by one
    /// of kazoo's.
    pub(super) fn opened(&self) -> Option<i64> {
        let came = self.own.map_or(0, |own| own.created);
        let ready = self.ready.map(|ready| ready.created);
        ready.into_iter().chain([self.path.modified]).filter(|opened| *opened > came).min()
    }
}
