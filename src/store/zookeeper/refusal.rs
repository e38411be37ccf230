//! What an error of the client library means for a request.

use zookeeper_client::Error as ClientError;

use crate::recipe::Refusal;

/// The refusal that `error` is. Whatever is no definite refusal leaves the outcome unknown:
/// between the sending of a request and its answer the library fails with many errors.
pub(super) fn of(error: &ClientError, path: &str) -> Refusal {
    match error {
        ClientError::NoNode => Refusal::NoNode,
        ClientError::NodeExists => Refusal::NodeExists,
        ClientError::NotEmpty => Refusal::NotEmpty,
        ClientError::BadVersion => Refusal::BadVersion,
        ClientError::NoAuth => Refusal::Denied(format!(
            "the access control list does not allow it on {path}: connect as who made the node, \
             or change the list with setAcl"
        )),
        ClientError::InvalidAcl => Refusal::Denied(format!(
            "the server refuses the access control list for {path}: it has not authenticated this session, \
             or does not know a scheme that the list names"
        )),
        ClientError::QuotaExceeded => {
            Refusal::Full(format!("the quota of {path} or of a parent is exceeded: raise it with setquota"))
        }
        ClientError::SessionExpired | ClientError::AuthFailed | ClientError::ClientClosed => {
            Refusal::SessionLost
        }
        ClientError::BadArguments(why) => Refusal::Other(format!("{path:?} is refused: {why}")),
        ClientError::NoChildrenForEphemerals => Refusal::NoChildren,
        ClientError::Unimplemented | ClientError::MarshallingError | ClientError::NotReadOnly => {
            Refusal::Other(format!("the server cannot carry out the request on {path}: {error}"))
        }
        // Codes below -100 are the interface's own: a refusal of a kind that the library does not
        // know. Those above say that the server failed in the middle.
        ClientError::UnexpectedErrorCode(code) if *code <= -100 => {
            Refusal::Other(format!("the server refuses the request on {path} with error code {code}"))
        }
        _ => Refusal::ConnectionLost,
    }
}

/// Whether it is an answer that a write gets from the leader only.
pub(super) fn comes_from_leader(error: &ClientError) -> bool {
    use ClientError::{BadVersion, NoNode, NodeExists, NotEmpty};
    matches!(error, NoNode | NodeExists | NotEmpty | BadVersion)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_definite_refusal_leaves_the_outcome_unknown() {
        for error in [
            ClientError::ConnectionLoss,
            ClientError::Timeout,
            ClientError::SessionMoved,
            ClientError::Throttled,
            ClientError::UnexpectedError("no response from connection in 800ms".into()),
            ClientError::UnexpectedErrorCode(-4),
        ] {
            assert_eq!(of(&error, "/a"), Refusal::ConnectionLost, "{error}");
        }
    }

    #[test]
    fn a_definite_refusal_names_the_path() {
        for error in [
            ClientError::NoAuth,
            ClientError::InvalidAcl,
            ClientError::QuotaExceeded,
            ClientError::BadArguments(&"bad"),
            ClientError::UnexpectedErrorCode(-120),
        ] {
            let refusal = of(&error, "/a/b");
            assert!(refusal.to_string().contains("/a/b"), "{refusal}");
        }
    }
}
