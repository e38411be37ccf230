//! Where this hook runs: what Juju says in the environment.

use std::path::PathBuf;

use crate::error::Error;
use crate::model::Member;
use crate::scope::CALL;

/// The facts of one hook, all from its environment.
///
/// The version comes from `JUJU_VERSION` alone: looking for an agent's binary fails where there is
/// none, as in a Kubernetes pod.
#[derive(Clone, Debug)]
pub struct Context {
    /// This unit.
    pub unit: Member,
    /// The hook's name, such as `coordinator-relation-changed`; empty outside of hooks.
    pub hook: String,
    /// The identifier of the relation that the hook is about.
    pub relation: Option<String>,
    /// The unit that the hook is about.
    pub remote: Option<Member>,
    /// In a departed hook, the unit that leaves.
    pub departing: Option<Member>,
    /// Whether the model has leader settings: Juju before version 4.
    pub leader_settings: bool,
    /// The charm's directory, where local state is kept.
    pub directory: PathBuf,
    /// The model, by its name and so much of its identifier that no two models have the same.
    pub model: Option<String>,
    /// Whether this is no hook of Juju's, but this unit's agent that calls it.
    pub is_call: bool,
}

impl Context {
    /// Reads the context through `variable`, which looks up an environment variable.
    ///
    /// # Errors
    ///
    /// `Invalid` without a `JUJU_UNIT_NAME`: this is no hook.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let present = |name: &str| variable(name).filter(|value| !value.is_empty());
        let unit = present("JUJU_UNIT_NAME").ok_or_else(|| {
            Error::invalid("JUJU_UNIT_NAME is not set: run this in a hook, or through juju-exec")
        })?;
        let member = |name: &str| present(name).map(Member::new).transpose();
        let dispatched =
            present("JUJU_DISPATCH_PATH").and_then(|path| path.rsplit('/').next().map(str::to_owned));
        Ok(Self {
            unit: Member::new(unit)?,
            hook: present("JUJU_HOOK_NAME").or(dispatched).unwrap_or_default(),
            relation: present("JUJU_RELATION_ID"),
            remote: member("JUJU_REMOTE_UNIT")?,
            departing: member("JUJU_DEPARTING_UNIT")?,
            leader_settings: has_leader_settings(present("JUJU_VERSION").as_deref()),
            directory: present("JUJU_CHARM_DIR").or_else(|| present("CHARM_DIR")).unwrap_or_default().into(),
            model: present("JUJU_MODEL_UUID").map(|uuid| model(present("JUJU_MODEL_NAME"), &uuid)),
            is_call: present(CALL).is_some(),
        })
    }

    /// Whether this unit is being removed and runs its last hooks.
    pub fn is_leaving(&self) -> bool {
        self.departing.as_ref() == Some(&self.unit)
    }

    /// The application of this unit.
    pub fn application(&self) -> &str {
        self.unit.as_str().rsplit_once('/').map_or(self.unit.as_str(), |(application, _)| application)
    }
}

/// `prod-3f2a91c0`: names of models are those of one controller.
fn model(name: Option<String>, uuid: &str) -> String {
    let start: String = uuid.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    match name {
        // With its owner, on controllers that tell it: `admin/prod`.
        Some(name) => format!("{}-{start}", name.rsplit('/').next().unwrap_or_default()),
        None => start,
    }
}

/// Juju 4 dropped leader settings. An unknown version is taken as an older one: if it has none after
/// all, the hook fails and names the missing tool, rather than act on grants that no successor knows.
fn has_leader_settings(version: Option<&str>) -> bool {
    let major =
        version.and_then(|version| version.split('.').next()).and_then(|major| major.parse::<u32>().ok());
    major.is_none_or(|major| major < 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leader_settings_end_with_juju_4() {
        let table = [
            (Some("2.9.51"), true),
            (Some("3.6.0"), true),
            (Some("4.0.0"), false),
            (None, true),
            (Some("?"), true),
        ];
        for (version, expected) in table {
            assert_eq!(has_leader_settings(version), expected, "{version:?}");
        }
    }

    #[test]
    fn outside_of_a_hook_the_error_says_so() {
        let error = Context::read(|_| None).unwrap_err();
        assert!(error.to_string().contains("JUJU_UNIT_NAME"));
    }
}
