//! Errors as the Python classes that callers tell apart.

use std::error::Error as _;

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::error::{Error, ErrorKind};

pyo3::import_exception!(coordinator.exceptions, AcquireTimeout);
pyo3::import_exception!(coordinator.exceptions, Conflict);
pyo3::import_exception!(coordinator.exceptions, Corrupt);
pyo3::import_exception!(coordinator.exceptions, ForkedError);
pyo3::import_exception!(coordinator.exceptions, Invalid);
pyo3::import_exception!(coordinator.exceptions, LockLost);
pyo3::import_exception!(coordinator.exceptions, NotHeld);
pyo3::import_exception!(coordinator.exceptions, Unavailable);

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        let kind = error.kind();
        match raised(&error) {
            // Raised by a caller's own callable: it goes through untouched.
            Some(raised) => raised,
            None => match kind {
                ErrorKind::AcquireTimeout => AcquireTimeout::new_err(message),
                ErrorKind::LockLost => LockLost::new_err(message),
                ErrorKind::Conflict => Conflict::new_err(message),
                ErrorKind::Forked => ForkedError::new_err(message),
                ErrorKind::NotHeld => NotHeld::new_err(message),
                ErrorKind::Unavailable => Unavailable::new_err(message),
                ErrorKind::Invalid => Invalid::new_err(message),
                ErrorKind::Corrupt => Corrupt::new_err(message),
            },
        }
    }
}

/// What `__exit__` raises at the end of a block: no error in place of the `exception` that ended
/// it. An interrupt is no error.
pub(super) fn unless_raised(
    py: Python<'_>,
    exception: &Bound<'_, PyTuple>,
    result: PyResult<()>,
) -> PyResult<()> {
    let raised = exception.iter().any(|part| !part.is_none());
    result
        .or_else(|error| if raised && error.is_instance_of::<PyException>(py) { Ok(()) } else { Err(error) })
}

fn raised(error: &Error) -> Option<PyErr> {
    let raised: &PyErr = error.source()?.downcast_ref()?;
    Some(Python::attach(|py| raised.clone_ref(py)))
}
