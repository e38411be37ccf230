//! Errors as the Python classes that callers tell apart.

use std::error::Error as _;

use pyo3::{PyErr, Python};

use crate::error::{Error, ErrorKind};

pyo3::import_exception!(coordinator.exceptions, Corrupt);
pyo3::import_exception!(coordinator.exceptions, Invalid);
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
                ErrorKind::NotHeld => NotHeld::new_err(message),
                ErrorKind::Unavailable => Unavailable::new_err(message),
                ErrorKind::Invalid => Invalid::new_err(message),
                ErrorKind::Corrupt => Corrupt::new_err(message),
            },
        }
    }
}

fn raised(error: &Error) -> Option<PyErr> {
    let raised: &PyErr = error.source()?.downcast_ref()?;
    Some(Python::attach(|py| raised.clone_ref(py)))
}
